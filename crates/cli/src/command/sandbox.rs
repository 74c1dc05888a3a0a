//! `longshore sandbox`: services over HTTP that stand in for real ones, until Ctrl-C or SIGTERM.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::FalseyValueParser;
use longshore::{parse_duration, stop_signal};
use longshore_sandbox::{Knobs, SandboxServer, StartError};
use longshore_services::Service;
use longshore_store::StoreUrl;
use serde_json::{Map, json};

use crate::arguments::Global;
use crate::output::{note, warn_on_standard_error};

/// Where the sandbox is if nothing else is said.
const USUAL_PORT: u16 = 8091;

#[derive(Debug, Args)]
#[command(after_help = "\
Serves /product (reservations, releases), /payment (charges, refunds), /notification (notices) and /carrier (bookings). \
A write needs the header Idempotency-Key and is done once for each. Point workers to it with the variables that it prints. \
SERVICE is product, payment, notification or carrier.

Turned while it runs, what is not named goes right again:
  curl -X PUT localhost:8091/knobs/payment -d '{\"outage\": true}'
  curl -X PUT localhost:8091/knobs/payment -d '{\"errors\": 0.1, \"lostAnswers\": 0.1, \"latencyMs\": 200}'
  curl localhost:8091/knobs
  curl localhost:8091/ledger/summary

Examples:
  longshore sandbox
  longshore sandbox --latency payment=200ms --errors payment=10% --lost-answers carrier=5%
  longshore sandbox --listen 127.0.0.1:18091 --data /tmp/sandbox --outage payment")]
pub(crate) struct SandboxArguments {
    /// Where callers connect; port 0 takes a free one
    #[arg(
        long,
        env = "LONGSHORE_SANDBOX_LISTEN",
        default_value = "127.0.0.1:8091",
        value_name = "ADDR"
    )]
    listen: SocketAddr,
    /// The directory that keeps the ledger
    #[arg(
        long,
        env = "LONGSHORE_SANDBOX_DATA",
        default_value = ".longshore/sandbox",
        value_name = "DIR"
    )]
    data: PathBuf,
    /// A service that is out: 503 for everything; may be repeated
    #[arg(long, env = "LONGSHORE_SANDBOX_OUTAGE", value_name = "SERVICE", value_delimiter = ',', value_parser = service)]
    outage: Vec<Service>,
    /// How long a service takes to answer, after the effect; may be repeated
    #[arg(long, env = "LONGSHORE_SANDBOX_LATENCY", value_name = "SERVICE=TIME", value_delimiter = ',', value_parser = latency)]
    latency: Vec<(Service, Duration)>,
    /// The share of requests that fail before their effect; may be repeated
    #[arg(long, env = "LONGSHORE_SANDBOX_ERRORS", value_name = "SERVICE=PERCENT", value_delimiter = ',', value_parser = share)]
    errors: Vec<(Service, f64)>,
    /// The share of requests that fail after their effect; may be repeated
    #[arg(long, env = "LONGSHORE_SANDBOX_LOST_ANSWERS", value_name = "SERVICE=PERCENT", value_delimiter = ',', value_parser = share)]
    lost_answers: Vec<(Service, f64)>,
    /// Chooses which requests fail
    #[arg(
        long,
        env = "LONGSHORE_SANDBOX_SEED",
        default_value = "0",
        value_name = "N"
    )]
    seed: u64,
    /// Listen on an address that other machines can reach
    #[arg(long, env = "LONGSHORE_ALLOW_REMOTE", value_parser = FalseyValueParser::new())]
    allow_remote: bool,
}

pub(crate) async fn run(global: &Global, arguments: SandboxArguments) -> anyhow::Result<()> {
    warn_on_standard_error();
    let stop = stop_signal()?;
    if !arguments.listen.ip().is_loopback() && !arguments.allow_remote {
        bail!(
            "{} can be reached from other machines, and whoever reaches a sandbox can turn its knobs; use --allow-remote if that is meant",
            arguments.listen
        );
    }
    let server = start(arguments.listen, &arguments.data, knobs(&arguments)).await?;
    let output = global.output();
    let services = services(&server);
    if output.json {
        let urls = services
            .iter()
            .map(|(service, url)| (service.variable().to_owned(), json!(url)));
        output.json(&urls.collect::<Map<_, _>>())?;
    } else {
        for (service, url) in services {
            output.line(format_args!("{}={url}", service.variable()))?;
        }
    }
    note(format_args!(
        "For development only. Ledger in {}; Ctrl-C stops.",
        arguments.data.display()
    ));
    stop.await;
    server.stop().await;
    Ok(())
}

/// On the port where people look for it, or another one if that is taken.
pub(crate) async fn start_somewhere(data: &Path) -> anyhow::Result<SandboxServer> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, USUAL_PORT));
    let started = start(usual, data, Knobs::new(0)).await;
    let taken = |error: &anyhow::Error| {
        let error = error.downcast_ref();
        matches!(error, Some(StartError::Listen { .. }))
    };
    match started {
        Err(error) if taken(&error) => {
            start((Ipv4Addr::LOCALHOST, 0).into(), data, Knobs::new(0)).await
        }
        started => started,
    }
}

async fn start(address: SocketAddr, data: &Path, knobs: Knobs) -> anyhow::Result<SandboxServer> {
    std::fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
    let ledger = StoreUrl::sqlite(data.join("sandbox.db"));
    Ok(SandboxServer::start(address, ledger, knobs).await?)
}

/// Where each service of the sandbox is.
pub(crate) fn services(server: &SandboxServer) -> Vec<(Service, String)> {
    let services = server.knobs().all().into_keys();
    services
        .map(|service| (service, server.url(service)))
        .collect()
}

fn knobs(arguments: &SandboxArguments) -> Knobs {
    let knobs = Knobs::new(arguments.seed);
    for service in &arguments.outage {
        knobs.turn(*service, |knobs| knobs.outage = true);
    }
    for (service, latency) in &arguments.latency {
        let milliseconds = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        knobs.turn(*service, |knobs| knobs.latency_ms = milliseconds);
    }
    for (service, share) in &arguments.errors {
        knobs.turn(*service, |knobs| knobs.errors = *share);
    }
    for (service, share) in &arguments.lost_answers {
        knobs.turn(*service, |knobs| knobs.lost_answers = *share);
    }
    knobs
}

fn service(name: &str) -> Result<Service, String> {
    Knobs::service(name).map_err(|error| error.to_string())
}

fn latency(text: &str) -> Result<(Service, Duration), String> {
    let (name, time) = text.split_once('=').ok_or("write SERVICE=TIME")?;
    Ok((service(name)?, parse_duration(time)?))
}

/// `payment=10%` or `payment=0.1`.
fn share(text: &str) -> Result<(Service, f64), String> {
    let (name, share) = text.split_once('=').ok_or("write SERVICE=PERCENT")?;
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let share = match share.strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(share),
    };
    match share {
        Some(share) if (0.0..=1.0).contains(&share) => Ok((service(name)?, share)),
        _ => Err("write a share as 10% or 0.1, at most all of them".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percent_or_numbers_up_to_all() {
        for (text, expected) in [
            ("payment=10%", 0.1),
            ("payment=0.25", 0.25),
            ("payment=100%", 1.0),
        ] {
            assert_eq!(share(text), Ok((Service::Payment, expected)), "{text}");
        }
        for text in [
            "payment",
            "payment=10",
            "payment=-1%",
            "payment=x",
            "auth=10%",
        ] {
            share(text).expect_err(text);
        }
    }
}
