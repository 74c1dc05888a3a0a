//! `/analytics`: what the analytics worker has counted.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use longshore_orders::analytics::{AnalyticsFunnel, AnalyticsHours, AnalyticsSummary, Window};
use serde_json::json;

use super::Server;
use super::endpoint::Endpoint;
use super::operation::Operation;
use super::parameters::Parameters;
use super::problem::Problem;
use crate::query::{GetAnalyticsFunnel, GetAnalyticsHours, GetAnalyticsSummary};

/// 503 is among the answers of every operation; here it is told, too, while nobody said where the worker is.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/analytics/summary",
            summary,
            windowed("getAnalyticsSummary", "Orders, money and times, together")
                .answers::<AnalyticsSummary>(StatusCode::OK, "The sums of the window"),
        ),
        Endpoint::get(
            "/analytics/hours",
            hours,
            windowed("getAnalyticsHours", "Orders and money of each hour")
                .answers::<AnalyticsHours>(StatusCode::OK, "Hours, the latest first"),
        ),
        Endpoint::get(
            "/analytics/funnel",
            funnel,
            windowed("getAnalyticsFunnel", "How many orders came how far")
                .answers::<AnalyticsFunnel>(StatusCode::OK, "What happened in the window"),
        ),
    ]
}

fn windowed(id: &'static str, summary: &'static str) -> Operation {
    let time = json!({"type": "string", "format": "date-time"});
    Operation::new("analytics", id, summary)
        .query("since", "From the hour of this time on", time.clone())
        .query("until", "To the hour of this time, included", time)
}

async fn summary(
    State(server): State<Arc<Server>>,
    parameters: Parameters,
) -> Result<Json<AnalyticsSummary>, Problem> {
    let query = GetAnalyticsSummary(window(parameters)?);
    Ok(Json(server.queries.ask(query).await?))
}

async fn hours(
    State(server): State<Arc<Server>>,
    parameters: Parameters,
) -> Result<Json<AnalyticsHours>, Problem> {
    let query = GetAnalyticsHours(window(parameters)?);
    Ok(Json(server.queries.ask(query).await?))
}

async fn funnel(
    State(server): State<Arc<Server>>,
    parameters: Parameters,
) -> Result<Json<AnalyticsFunnel>, Problem> {
    let query = GetAnalyticsFunnel(window(parameters)?);
    Ok(Json(server.queries.ask(query).await?))
}

fn window(mut parameters: Parameters) -> Result<Window, Problem> {
    let mut time = |name: &str| {
        parameters.read(name, |text| {
            let wrong = |_| "must be a time such as 2026-11-26T08:00:00Z".to_owned();
            text.parse().map_err(wrong)
        })
    };
    let window = Window {
        since: time("since"),
        until: time("until"),
    };
    parameters.finish()?;
    Ok(window)
}
