//! Who a message is: its identity for the inbox, and the ids derived for what it causes.

use uuid::Uuid;

/// The identity of an event: CloudEvents says that `source` and `id` together are unique.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// `ce_source`; the topic's name for a message that brings none.
    pub source: Box<str>,
    /// `ce_id`; `topic/partition/offset` for a message that brings none.
    pub id: Box<str>,
}

impl Identity {
    /// A fresh identity of `source`, for an event that nothing caused: UUIDv7, so that ids sort by time.
    pub fn fresh(source: &str) -> Self {
        Self {
            source: source.into(),
            id: Uuid::now_v7().to_string().into(),
        }
    }
}

/// Namespace of every derived id, so that they collide with no other UUIDv5.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c6f_6e67_7368_6f72_652d_6576_656e_7473);

/// The id of the `ordinal`-th follow-on of `cause` in the consumer group `group`.
///
/// UUIDv5 (RFC 9562, section 5.5): the same three always give the same id, so that publishing again after a crash
/// publishes the same event and not a second one.
pub fn derived_id(group: &str, cause: &Identity, ordinal: usize) -> Uuid {
    // Each part is preceded by its length: otherwise ("ab", "c") and ("a", "bc") would meet.
    let name = format!(
        "{}:{group}{}:{}{}:{}{ordinal}",
        group.len(),
        cause.source.len(),
        cause.source,
        cause.id.len(),
        cause.id,
    );
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(source: &str, id: &str) -> Identity {
        Identity {
            source: source.into(),
            id: id.into(),
        }
    }

    #[test]
    fn a_derived_id_depends_on_group_cause_and_ordinal_alone() {
        let cause = identity("shop", "e-1");
        let first = derived_id("workers", &cause, 0);

        assert_eq!(first, derived_id("workers", &cause, 0));
        assert_ne!(first, derived_id("workers", &cause, 1));
        assert_ne!(first, derived_id("others", &cause, 0));
        assert_ne!(first, derived_id("workers", &identity("sho", "pe-1"), 0));
    }
}
