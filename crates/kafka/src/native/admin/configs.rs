//! Topic configs: describing them, and changing single ones (KIP-339).

use std::time::Duration;

use rdkafka_sys as sys;
use sys::rd_kafka_AlterConfigOpType_t as Change;
use sys::rd_kafka_admin_op_t as Operation;

use super::{ask, c_string, pointers};
use crate::native::Client;
use crate::native::error::{ClientError, text};

/// One config of a topic.
#[derive(Debug)]
pub(crate) struct ConfigEntry {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    /// Whether it is set on the topic itself, rather than inherited from the broker.
    pub(crate) is_own: bool,
}

/// A topic's name, and its configs or what is wrong with it.
pub(crate) type DescribedTopic = (String, Result<Vec<ConfigEntry>, ClientError>);

/// Requests for topics' configs, destroyed together.
struct Resources(Vec<*mut sys::rd_kafka_ConfigResource_t>);

impl Client {
    /// The configs of topics: for each topic its name and either its configs or what is wrong with it.
    pub(crate) fn describe_configs(
        &self,
        topics: &[String],
        within: Duration,
    ) -> Result<Vec<DescribedTopic>, ClientError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let mut resources = Resources::of_topics(topics)?;
        let answer = ask(
            self,
            Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
            within,
            // SAFETY: all are live for the call, which copies them.
            |options, queue| unsafe {
                let items = &mut resources.0;
                sys::rd_kafka_DescribeConfigs(
                    self.handle(),
                    items.as_mut_ptr(),
                    items.len(),
                    options,
                    queue,
                );
            },
        )?;
        // SAFETY: the answer is live, and so is what is read from it.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeConfigs_result(answer.event);
            let found = sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
            let found = pointers(found, count).iter().map(|resource| {
                let name = text(sys::rd_kafka_ConfigResource_name(*resource));
                let entries = failure(*resource).map_or_else(|| Ok(entries(*resource)), Err);
                (name, entries)
            });
            Ok(found.collect())
        }
    }

    /// Sets configs of a topic, or takes them back to the broker's default where the value is `None`; others stay.
    pub(crate) fn alter_configs(
        &self,
        topic: &str,
        changes: &[(String, Option<String>)],
        within: Duration,
    ) -> Result<(), ClientError> {
        let mut resources = Resources::of_topics(&[topic.to_owned()])?;
        for (name, value) in changes {
            resources.change(name, value.as_deref())?;
        }
        let answer = ask(
            self,
            Operation::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS,
            within,
            // SAFETY: all are live for the call, which copies them.
            |options, queue| unsafe {
                let items = &mut resources.0;
                sys::rd_kafka_IncrementalAlterConfigs(
                    self.handle(),
                    items.as_mut_ptr(),
                    items.len(),
                    options,
                    queue,
                );
            },
        )?;
        // SAFETY: the answer is live, and so is what is read from it.
        let failed = unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(answer.event);
            let found = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
            pointers(found, count)
                .iter()
                .find_map(|resource| failure(*resource))
        };
        failed.map_or(Ok(()), Err)
    }
}

impl Resources {
    fn of_topics(topics: &[String]) -> Result<Self, ClientError> {
        let mut resources = Self(Vec::with_capacity(topics.len()));
        for topic in topics {
            let name = c_string(topic)?;
            // SAFETY: the name is copied.
            resources.0.push(unsafe {
                sys::rd_kafka_ConfigResource_new(
                    sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                    name.as_ptr(),
                )
            });
        }
        Ok(resources)
    }

    fn change(&mut self, name: &str, value: Option<&str>) -> Result<(), ClientError> {
        let name = c_string(name)?;
        let change = match value {
            Some(_) => Change::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
            None => Change::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE,
        };
        let value = value.map(c_string).transpose()?;
        let value = value
            .as_ref()
            .map_or(std::ptr::null(), |value| value.as_ptr());
        for resource in &self.0 {
            // SAFETY: the resource is live; the strings are copied; the error object is ours.
            let failed = unsafe {
                let error = sys::rd_kafka_ConfigResource_add_incremental_config(
                    *resource,
                    name.as_ptr(),
                    change,
                    value,
                );
                ClientError::take(error)
            };
            failed.map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

impl Drop for Resources {
    fn drop(&mut self) {
        // SAFETY: they are ours, and destroyed once.
        unsafe { sys::rd_kafka_ConfigResource_destroy_array(self.0.as_mut_ptr(), self.0.len()) }
    }
}

/// # Safety
/// `resource` is live.
unsafe fn failure(resource: *const sys::rd_kafka_ConfigResource_t) -> Option<ClientError> {
    // SAFETY: as the caller promised.
    unsafe {
        ClientError::with_reason(
            sys::rd_kafka_ConfigResource_error(resource),
            sys::rd_kafka_ConfigResource_error_string(resource),
        )
    }
}

/// # Safety
/// `resource` is live.
unsafe fn entries(resource: *const sys::rd_kafka_ConfigResource_t) -> Vec<ConfigEntry> {
    use sys::rd_kafka_ConfigSource_t::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG as OWN;
    // SAFETY: as the caller promised; the entries live as long as the resource.
    unsafe {
        let mut count = 0;
        let entries = sys::rd_kafka_ConfigResource_configs(resource, &mut count);
        let entries = pointers(entries, count).iter().map(|entry| {
            let value = sys::rd_kafka_ConfigEntry_value(*entry);
            ConfigEntry {
                name: text(sys::rd_kafka_ConfigEntry_name(*entry)),
                value: (!value.is_null()).then(|| text(value)),
                is_own: sys::rd_kafka_ConfigEntry_source(*entry) == OWN,
            }
        });
        entries.collect()
    }
}
