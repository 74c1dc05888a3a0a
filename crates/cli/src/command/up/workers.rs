//! The workers and the API as tasks of this process, each with its own group and its own store.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use longshore::{KafkaProperty, RunError, ServiceArgs, WorkerArgs, WorkerBuilder};
use longshore_api::{Api, ApiArgs, VIEW_GROUP};
use longshore_kafka::Connection;
use longshore_orders::job::JobsConfig;
use longshore_orders::{ExpiryArguments, NotificationArguments};
use longshore_services::Service;
use longshore_store::StoreUrl;
use longshore_worker::{Handler, Status};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::metrics::Numbers;

/// Running workers.
pub(super) struct Workers {
    tasks: JoinSet<anyhow::Result<()>>,
    registries: Vec<(&'static str, Arc<Registry>)>,
    statuses: Vec<watch::Receiver<Status>>,
    /// Where each of them answers, for `longshore stuck`.
    addresses: Vec<SocketAddr>,
    /// Where the API listens.
    api: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    services: ServiceArgs,
}

/// The file that says where the workers of the `longshore up` that uses `data` answer.
pub(crate) fn workers_file(data: &Path) -> PathBuf {
    data.join("workers.json")
}

/// Nobody tells of the users of sample orders, and nobody need wait for it.
fn for_samples() -> anyhow::Result<NotificationArguments> {
    let address = "{userId}@example.com".parse().map_err(anyhow::Error::msg)?;
    Ok(NotificationArguments {
        patience: Duration::from_secs(1),
        unknown_address: Some(address),
    })
}

impl Workers {
    /// `services` is where they find the services that they call.
    pub(super) async fn start(
        connection: &Connection,
        data: &Path,
        services: &[(Service, String)],
    ) -> anyhow::Result<Self> {
        let mut workers = Self {
            tasks: JoinSet::new(),
            registries: Vec::new(),
            statuses: Vec::new(),
            addresses: Vec::new(),
            api: None,
            stop: watch::Sender::new(false),
            services: ServiceArgs::at(services),
        };
        workers
            .add(
                "order-created",
                longshore_orders::order_created(),
                connection,
                data,
            )
            .await?;
        workers
            .add(
                "order-paid",
                longshore_orders::order_paid(),
                connection,
                data,
            )
            .await?;
        workers
            .add(
                "order-shipped",
                longshore_orders::order_shipped(),
                connection,
                data,
            )
            .await?;
        workers
            .add(
                "order-expiry",
                longshore_orders::order_expiry(ExpiryArguments::default()),
                connection,
                data,
            )
            .await?;
        let analytics = workers
            .add("analytics", longshore_orders::analytics(), connection, data)
            .await?;
        workers
            .add(
                "notifications",
                longshore_orders::notifications(for_samples()?),
                connection,
                data,
            )
            .await?;
        let config = JobsConfig::in_directories(data.join("mails"), data.join("reports"))?;
        let jobs = longshore_orders::job::jobs(config);
        workers.add("jobs", jobs, connection, data).await?;
        workers.add_api(connection, data, analytics).await?;
        let file = workers_file(data);
        std::fs::write(&file, serde_json::to_vec(&workers.addresses)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(workers)
    }

    /// Says where it serves its health and its routes.
    async fn add<H: Handler>(
        &mut self,
        group: &'static str,
        worker: WorkerBuilder<H>,
        connection: &Connection,
        data: &Path,
    ) -> anyhow::Result<Option<SocketAddr>> {
        let mut args = WorkerArgs::new(&connection.brokers);
        args.group = Some(group.to_owned());
        args.store = Some(StoreUrl::sqlite(data.join(format!("{group}.db"))));
        args.kafka = properties(connection);
        args.admin_listen = Some((Ipv4Addr::LOCALHOST, 0).into());
        args.services = self.services.clone();
        let connected = worker.connect(&args).await;
        let connected = connected.with_context(|| format!("cannot start the worker {group}"))?;
        let address = connected.admin_address();
        self.addresses.extend(address);
        self.statuses.push(connected.status());
        self.registries.push((group, connected.registry()));
        let stopped = self.stopped();
        self.tasks.spawn(async move {
            let result = connected.run(stopped).await;
            result.with_context(|| format!("the worker {group} failed"))
        });
        Ok(address)
    }

    /// The API, which keeps its projection itself. On the port that its users know, or another one if that is taken.
    async fn add_api(
        &mut self,
        connection: &Connection,
        data: &Path,
        analytics: Option<SocketAddr>,
    ) -> anyhow::Result<()> {
        let mut args = ApiArgs::new(&connection.brokers);
        args.store = Some(StoreUrl::sqlite(data.join("api.db")));
        args.view_store = Some(StoreUrl::sqlite(data.join("order-view.db")));
        args.kafka = properties(connection);
        args.admin_listen = Some((Ipv4Addr::LOCALHOST, 0).into());
        let url = analytics.map(|address| format!("http://{address}").parse());
        args.analytics_url = url.transpose()?;
        let anywhere = args.listen;
        args.listen.set_port(ApiArgs::PORT);
        let mut api = Api::connect(&args).await;
        if matches!(api, Err(RunError::Listen { .. })) {
            args.listen = anywhere;
            api = Api::connect(&args).await;
        }
        let api = api.context("cannot start the API")?;
        self.api = Some(api.address());
        if let Some(projection) = api.projection() {
            self.addresses.extend(projection.admin_address());
            self.statuses.push(projection.status());
            self.registries.push((VIEW_GROUP, projection.registry()));
        }
        let stopped = self.stopped();
        self.tasks
            .spawn(async move { api.run(stopped).await.context("the API failed") });
        Ok(())
    }

    /// Completes once the workers are to stop.
    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // The sender lives as long as the tasks.
            stop.wait_for(|stop| *stop).await.ok();
        }
    }

    /// Where the API listens.
    pub(super) fn api(&self) -> Option<SocketAddr> {
        self.api
    }

    /// Completes when every worker has partitions to work on.
    pub(super) fn ready(&self) -> impl Future<Output = ()> + Send + 'static {
        let statuses = self.statuses.clone();
        async move {
            for mut status in statuses {
                // A worker that is gone is told of elsewhere.
                status.wait_for(Status::ready).await.ok();
            }
        }
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.registries.iter().map(|(name, _)| *name).collect()
    }

    /// The numbers of each worker, in the order of [`Workers::names`].
    pub(super) fn numbers(&self) -> Vec<Numbers> {
        let registries = self.registries.iter();
        registries
            .map(|(_, registry)| Numbers::read(registry))
            .collect()
    }

    /// Waits for a worker that ends although nobody stopped it. Safe to cancel.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => error.into(),
            Some(Ok(Ok(()))) | None => anyhow!("a worker ended by itself"),
        }
    }

    /// Lets all workers finish what is in flight and leave their groups.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            result = result.and(ended?);
        }
        result
    }
}

fn properties(connection: &Connection) -> Vec<KafkaProperty> {
    let properties = connection.properties.iter().cloned();
    properties
        .map(|property| KafkaProperty(Some(property)))
        .collect()
}
