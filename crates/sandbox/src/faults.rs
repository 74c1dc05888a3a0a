//! Stands before a service, and makes of each request what the knobs say.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use longshore_services::Service;
use tokio::time::sleep;

use crate::answer::Problem;
use crate::knobs::{Fate, Knobs};

/// Before which service, with which knobs.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) service: Service,
    pub(crate) knobs: Knobs,
}

pub(crate) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    match gate.knobs.fate(gate.service) {
        Fate::Out => out(&gate).into_response(),
        Fate::Fails => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Failed",
            "as the knob `errors` has it; nothing was done",
        )
        .into_response(),
        Fate::Answered(latency) => {
            let response = next.run(request).await;
            sleep(latency).await;
            response
        }
        Fate::Lost(latency) => {
            next.run(request).await;
            sleep(latency).await;
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Failed",
                "as the knob `lostAnswers` has it; the answer is lost",
            )
            .into_response()
        }
    }
}

/// How the service is.
pub(crate) async fn health(State(gate): State<Gate>) -> Result<&'static str, Problem> {
    match gate.knobs.is_out(gate.service) {
        true => Err(out(&gate)),
        false => Ok("healthy\n"),
    }
}

fn out(gate: &Gate) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "Out of service",
        format!(
            "the {} service is out, as its knob `outage` has it",
            gate.service
        ),
    )
}
