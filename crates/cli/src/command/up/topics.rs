//! The topics of the order system: from a directory, or as they were when this program was built.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use longshore_kafka::{Admin, Connection};
use longshore_topics::TopicSpec;

use crate::command::topics;

/// The directory of topic files in a checkout.
const CHECKOUT: &str = "topics";

macro_rules! built_in {
    ($($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("../../../../../topics/", $file)))),*]
    };
}

const BUILT_IN: &[(&str, &str)] = built_in![
    "order.created.toml",
    "order.paid.toml",
    "order.shipped.toml",
    "order.delivered.toml",
    "order.cancelled.toml",
    "order.cancellation-requested.toml",
    "user.created.toml",
    "user.updated.toml",
    "user.deleted.toml",
    "jobs.email.toml",
    "jobs.payment.toml",
    "jobs.report.toml",
    "job.completed.toml",
    "job.failed.toml",
    "schemas/order.created.json",
    "schemas/order.paid.json",
    "schemas/order.shipped.json",
    "schemas/order.delivered.json",
    "schemas/order.cancelled.json",
    "schemas/order.cancellation-requested.json",
    "schemas/user.created.json",
    "schemas/user.updated.json",
    "schemas/user.deleted.json",
    "schemas/jobs.email.json",
    "schemas/jobs.payment.json",
    "schemas/jobs.report.json",
    "schemas/job.completed.json",
    "schemas/job.failed.json",
];

/// The topics of `dir`; without one, those of the checkout or those built in.
pub(super) fn specs(dir: Option<&Path>, data: &Path) -> anyhow::Result<Vec<TopicSpec>> {
    let dir = match dir {
        Some(dir) => dir.to_owned(),
        None if Path::new(CHECKOUT).join("order.created.toml").is_file() => CHECKOUT.into(),
        None => unpack(&data.join(CHECKOUT))?,
    };
    Ok(TopicSpec::load_dir(dir)?)
}

/// Makes the topics as they should be. What would lose records is refused.
pub(super) async fn make(connection: &Connection, specs: &[TopicSpec]) -> anyhow::Result<()> {
    let admin = Admin::connect(connection)?;
    topics::make(&admin, specs).await
}

fn unpack(dir: &Path) -> anyhow::Result<PathBuf> {
    let cannot = || format!("cannot write the built-in topic files to {}", dir.display());
    fs::create_dir_all(dir.join("schemas")).with_context(cannot)?;
    for (file, text) in BUILT_IN {
        fs::write(dir.join(file), text).with_context(cannot)?;
    }
    Ok(dir.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_topics_are_whole() {
        let data = tempfile::tempdir().expect("directory");
        let dir = unpack(&data.path().join("topics")).expect("unpacked");
        let specs = TopicSpec::load_dir(dir).expect("valid");
        for (event, _) in longshore_orders::schemas() {
            assert!(specs.iter().any(|spec| spec.name == event), "{event}");
        }
    }
}
