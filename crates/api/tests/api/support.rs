//! An API on stores of its own, and requests to it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use jiff::Timestamp;
use longshore_api::http::{Limits, Server, router};
use longshore_api::{
    AnalyticsWorker, GROUP, MIGRATIONS, OrderView, OrderViewHandler, Parts, UserCache, VIEW_GROUP,
    VIEW_MIGRATIONS,
};
use longshore_event::{Envelope, Event, Limits as RecordLimits, Record};
use longshore_orders::OrderEvent;
use longshore_store::{SqlStore, StoreUrl};
use longshore_testkit::memory::{MemoryLog, MemoryPublisher};
use longshore_testkit::wait::eventually;
use longshore_worker::{Clock, Context, Handler};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

const TOPICS: [&str; 9] = [
    "order.created",
    "order.paid",
    "order.shipped",
    "order.delivered",
    "order.cancelled",
    "order.cancellation-requested",
    "user.created",
    "user.updated",
    "user.deleted",
];

/// An API and what it publishes.
pub(crate) struct Fixture {
    pub(crate) router: Router,
    pub(crate) server: Arc<Server>,
    pub(crate) log: MemoryLog,
    pub(crate) cache: Arc<UserCache>,
    pub(crate) view: SqlStore,
    _directory: Option<TempDir>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// The projection, for whoever writes it.
async fn written(url: &StoreUrl) -> SqlStore {
    let view = SqlStore::open(url, VIEW_GROUP, VIEW_MIGRATIONS).await;
    view.expect("the projection opens")
}

pub(crate) fn log() -> MemoryLog {
    TOPICS
        .into_iter()
        .fold(MemoryLog::new(), |log, topic| log.with_topic(topic, 1))
}

impl Fixture {
    /// On SQLite files of its own.
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::alone(limits, AnalyticsWorker::default()).await
    }

    /// The same, with an analytics worker to ask.
    pub(crate) async fn with_analytics(analytics: AnalyticsWorker) -> Self {
        Self::alone(Limits::default(), analytics).await
    }

    async fn alone(limits: Limits, analytics: AnalyticsWorker) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let url = |group| StoreUrl::sqlite(directory.path().join(format!("{group}.db")));
        let (store, view) = (url(GROUP), url(VIEW_GROUP));
        let view = written(&view).await;
        let fixture = Self::assemble(&store, view, log(), limits, analytics).await;
        Self {
            _directory: Some(directory),
            ..fixture
        }
    }

    /// An instance on stores that others may use too.
    pub(crate) async fn on(
        store: &StoreUrl,
        view: &StoreUrl,
        log: MemoryLog,
        limits: Limits,
    ) -> Self {
        let view = written(view).await;
        Self::assemble(store, view, log, limits, AnalyticsWorker::default()).await
    }

    /// An instance that reads a replica of the projection.
    pub(crate) async fn reading(store: &StoreUrl, replica: &StoreUrl, log: MemoryLog) -> Self {
        let view = SqlStore::open_replica(replica, VIEW_GROUP).await;
        let view = view.expect("the replica opens");
        let analytics = AnalyticsWorker::default();
        Self::assemble(store, view, log, Limits::default(), analytics).await
    }

    async fn assemble(
        store: &StoreUrl,
        view: SqlStore,
        log: MemoryLog,
        limits: Limits,
        analytics: AnalyticsWorker,
    ) -> Self {
        let opened = SqlStore::open(store, GROUP, MIGRATIONS).await;
        let cache = Arc::new(UserCache::default());
        let parts = Parts {
            store: opened.expect("the store opens"),
            view: OrderView::new(view.clone()),
            cache: cache.clone(),
            analytics,
            clock: Clock::system(),
            registries: Vec::new(),
        };
        let server = parts.assemble(MemoryPublisher::new(&log));
        Self {
            router: router(server.clone(), limits),
            server,
            log,
            cache,
            view,
            _directory: None,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a request"))
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(
            Request::delete(path)
                .body(Body::empty())
                .expect("a request"),
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(json("POST", path, body, None)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(json("PATCH", path, body, None)).await
    }

    pub(crate) async fn order(&self, key: &str, body: &Value) -> Answer {
        self.send(json("POST", "/orders", body, Some(key))).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        answer(self.router.clone(), request).await
    }

    /// Waits until so many records of a topic are published, and returns them.
    pub(crate) async fn published(&self, topic: &str, count: usize) -> Vec<Record> {
        eventually("published", LIMIT, async || {
            let records = self.log.records(topic);
            match records.len() == count {
                true => Ok(records),
                false => Err(records.len()),
            }
        })
        .await
    }

    /// Takes records into the projection, as its worker would.
    pub(crate) async fn project(&self, records: Vec<Record>) {
        for record in records {
            let message = Envelope::<OrderEvent>::decode(record, &RecordLimits::default());
            let message = message.expect("an event of an order");
            let group = Arc::from(OrderViewHandler::NAME);
            let mut context = Context::new(&message, &group, 1, Timestamp::UNIX_EPOCH);
            let handled = OrderViewHandler.handle(&message, &mut context).await;
            handled.expect("handled");
            for statement in context.writes() {
                self.view.execute(statement).await.expect("written");
            }
        }
    }

    /// Takes an event into the projection, as if it came from another system.
    pub(crate) async fn hear<E: Event>(&self, event: &E) {
        let partition = longshore_event::TopicPartition::new(E::TOPIC, 0);
        let record = Record {
            partition,
            offset: longshore_event::Offset(0),
            timestamp: None,
            key: Some(event.key().to_owned().into()),
            value: Some(serde_json::to_vec(event).expect("JSON").into()),
            headers: longshore_event::Headers::new(),
        };
        self.project(vec![record]).await;
    }
}

pub(crate) fn json(method: &str, path: &str, body: &Value, key: Option<&str>) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json");
    let request = match key {
        Some(key) => request.header("Idempotency-Key", key),
        None => request,
    };
    request
        .body(Body::from(body.to_string()))
        .expect("a request")
}

pub(crate) async fn answer(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.expect("a body");
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Value::String(text)
    });
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}
