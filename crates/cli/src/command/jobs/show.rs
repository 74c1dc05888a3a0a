//! `longshore jobs show`: one job with all that is known of it.

use longshore_jobs::JobView;

use super::OneArguments;
use super::client::Client;
use crate::arguments::Global;
use crate::record::printable;

pub(crate) async fn run(global: &Global, arguments: OneArguments) -> anyhow::Result<()> {
    let client = Client::find(&arguments.place).await?;
    let job: JobView = client.get(&["jobs", &arguments.id], &[]).await?;
    let output = global.output();
    if global.json {
        return output.json(&job);
    }
    let moment = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string());
    for (name, value) in [
        ("job", Some(job.id)),
        ("queue", Some(job.queue)),
        ("state", Some(job.state.as_str().to_owned())),
        ("priority", Some(job.priority.to_string())),
        (
            "attempts",
            Some(format!("{} of {}", job.attempts_made, job.attempts)),
        ),
        ("progress", Some(format!("{} %", job.progress))),
        ("added", moment(job.added_at)),
        ("due", moment(job.due_at)),
        ("started", moment(job.started_at)),
        ("ended", moment(job.ended_at)),
        ("unique key", job.unique_key),
        ("dropped for", job.duplicate_of),
        ("last error", job.last_error),
        ("payload", job.payload.map(|payload| payload.to_string())),
    ] {
        if let Some(value) = value {
            output.line(format_args!("{name:<12}{}", printable(&value)))?;
        }
    }
    for line in job.log.iter().flatten() {
        let at = moment(line.at).unwrap_or_default();
        output.line(format_args!(
            "  {at}  run {}  {}",
            line.attempt,
            printable(&line.line)
        ))?;
    }
    Ok(())
}
