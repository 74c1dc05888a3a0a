//! Apache Kafka in a container, through testcontainers.

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::runtime::Runtime;

use crate::process::Leash;
use crate::wait::free_port;

const DEFAULT_IMAGE: &str = "apache/kafka:4.3.0";

/// Pulling and starting the image may take this long.
const STARTS_WITHIN: Duration = Duration::from_secs(180);

/// The port inside the container.
const PORT: u16 = 9092;

/// A container. It is mapped to a port chosen beforehand, since a broker must know the address it advertises, and
/// keeps it over a restart.
#[derive(Debug)]
pub(super) struct Docker {
    port: u16,
    container: Option<ContainerAsync<GenericImage>>,
    _leash: Leash,
}

impl Docker {
    pub(super) async fn run() -> anyhow::Result<Self> {
        let port = free_port()?;
        let container = runtime()?
            .spawn(request(port).start())
            .await?
            .with_context(|| {
                let image = image();
                format!("image {image} does not start; see LONGSHORE_TEST_IMAGE and `docker info`")
            })?;
        let leash = Leash::new(&format!("docker rm -f -v {}", container.id()))?;
        Ok(Self {
            port,
            container: Some(container),
            _leash: leash,
        })
    }

    pub(super) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.with_container(async |container| container.stop().await)
            .await
    }

    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        self.with_container(async |container| container.start().await)
            .await
    }

    async fn with_container(
        &mut self,
        act: impl AsyncFnOnce(&ContainerAsync<GenericImage>) -> testcontainers::core::error::Result<()>,
    ) -> anyhow::Result<()> {
        let container = self.container.as_ref().context("the container is gone")?;
        act(container).await?;
        Ok(())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // The client of Docker lives on the runtime that started the container, and cleans up there.
        if let (Some(container), Ok(runtime)) = (self.container.take(), runtime()) {
            runtime.spawn(container.rm());
        }
    }
}

/// The image that is run.
pub(super) fn image() -> String {
    env::var("LONGSHORE_TEST_IMAGE").unwrap_or_else(|_| DEFAULT_IMAGE.to_owned())
}

/// The settings of the image `apache/kafka`: server properties as environment variables.
fn request(port: u16) -> testcontainers::ContainerRequest<GenericImage> {
    let image = image();
    let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
    // The mapped port is not there inside the container, where the broker asks itself about transactions (KIP-890): hence
    // a listener of its own for that.
    let advertised = format!("PLAINTEXT://127.0.0.1:{port},INTERNAL://localhost:19092");
    let settings = [
        ("KAFKA_NODE_ID", "1"),
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        (
            "KAFKA_LISTENERS",
            "PLAINTEXT://:9092,INTERNAL://localhost:19092,CONTROLLER://localhost:9093",
        ),
        ("KAFKA_ADVERTISED_LISTENERS", advertised.as_str()),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        (
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
            "PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        ),
        ("KAFKA_INTER_BROKER_LISTENER_NAME", "INTERNAL"),
        ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
        // Tests wait for retention and compaction, which would come every five minutes and every fifteen seconds.
        ("KAFKA_LOG_INITIAL_TASK_DELAY_MS", "500"),
        ("KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS", "500"),
        ("KAFKA_LOG_CLEANER_BACKOFF_MS", "500"),
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4"),
        ("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "4"),
        ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
        ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
        ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    ];
    settings.into_iter().fold(
        GenericImage::new(name, tag)
            .with_mapped_port(port, PORT.tcp())
            .with_startup_timeout(STARTS_WITHIN),
        |request, (name, value)| request.with_env_var(name, value),
    )
}

/// Where the client of Docker lives: it outlives the test that happened to come first.
fn runtime() -> anyhow::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    Ok(RUNTIME.get_or_init(|| runtime))
}
