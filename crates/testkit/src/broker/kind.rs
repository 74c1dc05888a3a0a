//! The kinds of broker, and which one the environment asks for.

use std::env;
use std::fmt;

use anyhow::{Context, bail};

use super::{apache, docker};

const BROKERS: &str = "KAFKA_BROKERS";
const CHOICE: &str = "LONGSHORE_TEST_BROKER";

/// Where a test's broker comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// It is there already: `KAFKA_BROKERS`.
    External,
    /// A container, through testcontainers.
    Docker,
    /// Apache Kafka's own jars on the machine's Java.
    Apache,
    /// `longshore-broker`, in this process.
    Embedded,
}

impl BrokerKind {
    /// What the environment asks for.
    pub(super) fn chosen() -> anyhow::Result<Self> {
        if env::var_os(BROKERS).is_some() {
            return Ok(Self::External);
        }
        match env::var(CHOICE).as_deref() {
            Err(_) | Ok("" | "embedded") => Ok(Self::Embedded),
            Ok("docker") => Ok(Self::Docker),
            Ok("apache") => Ok(Self::Apache),
            Ok(other) => bail!("{CHOICE} is {other:?}; use docker, apache or embedded"),
        }
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External => write!(f, "external ({BROKERS})"),
            Self::Docker => write!(f, "Docker image {}", docker::image()),
            Self::Apache => write!(f, "Apache Kafka {} (Maven, KRaft)", apache::VERSION),
            Self::Embedded => f.write_str("embedded (longshore-broker)"),
        }
    }
}

pub(super) fn external() -> anyhow::Result<String> {
    env::var(BROKERS).with_context(|| format!("{BROKERS} is not text"))
}
