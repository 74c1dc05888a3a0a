//! Orders are read from a replica of the projection, if there is one.

use axum::http::StatusCode;
use longshore_api::VIEW_GROUP;
use longshore_api::http::Limits;
use longshore_store::{SqlStore, StoreUrl};
use longshore_testkit::postgres::Postgres;
use longshore_testkit::wait::eventually;
use longshore_worker::sql;

use crate::projection::life;
use crate::support::{Fixture, LIMIT, log};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_projection_has_is_read_from_its_hot_standby() {
    const DATABASE: &str = "shop";
    let Some(primary) = Postgres::private().await else {
        return;
    };
    let url: StoreUrl = primary.create_database(DATABASE).parse().expect("a URL");
    let standby = primary.standby().await.expect("follows");
    let replica: StoreUrl = standby.database(DATABASE).parse().expect("a URL");
    let writing = Fixture::on(&url, &url, log(), Limits::default()).await;
    let reading = Fixture::reading(&url, &replica, log()).await;

    writing.project(life("o-1").into()).await;

    let found = eventually("the standby has it", LIMIT, async || {
        let found = reading.get("/orders/o-1").await;
        match found.body["status"] == "delivered" {
            true => Ok(found),
            false => Err(found),
        }
    })
    .await;
    assert_eq!(found.status, StatusCode::OK);
    let timeline = reading.get("/orders/o-1/timeline").await.body;
    assert_eq!(timeline["events"].as_array().map(Vec::len), Some(4));
    let on_standby = SqlStore::open_replica(&replica, VIEW_GROUP).await;
    let write = sql("delete from order_view");
    let refused = on_standby.expect("opens").execute(&write).await;
    assert!(refused.is_err(), "it is a standby indeed: {refused:?}");
}
