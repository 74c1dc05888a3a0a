//! `longshore jobs add`: one job, by hand.

use anyhow::Context;
use clap::Args;
use longshore_jobs::AddJob;
use reqwest::Method;
use serde_json::Value;

use super::Place;
use super::client::Client;
use super::options::OptionArguments;
use crate::arguments::Global;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore jobs add report --payload '{\"from\":\"2026-11-01T00:00:00Z\",\"to\":\"2026-12-01T00:00:00Z\"}'
  longshore jobs add email --id welcome-u-7 --delay 10m --payload '{\"to\":\"a@b.org\",\"subject\":\"Hi\",\"text\":\"Hi\"}'")]
pub(crate) struct AddArguments {
    /// The queue's name
    queue: String,
    /// What to do, as JSON
    #[arg(long, env = "LONGSHORE_JOB_PAYLOAD", value_name = "JSON")]
    payload: String,
    /// The job's id; adding the same id twice adds it once [default: a fresh one]
    #[arg(long, env = "LONGSHORE_JOB_ID", value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    options: OptionArguments,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(global: &Global, arguments: AddArguments) -> anyhow::Result<()> {
    let payload = serde_json::from_str(&arguments.payload).context("--payload is no JSON")?;
    let job = AddJob {
        job_id: arguments.id,
        payload,
        options: arguments.options.options(),
    };
    let client = Client::find(&arguments.place).await?;
    let path = ["jobs", &arguments.queue];
    let body = serde_json::to_value(&job)?;
    let added: Value = client.write(Method::POST, &path, &body).await?;
    if global.json {
        return global.output().json(&added);
    }
    let id = added["jobId"].as_str().unwrap_or_default();
    Ok(global.output().line(id)?)
}
