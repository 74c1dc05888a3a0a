//! The last words of `longshore up`: how every order ended, and how long it took.

use std::time::Duration;

use serde_json::{Map, json};

use super::progress::{Progress, Stage};
use crate::output::Output;

pub(super) fn print(output: Output, progress: &Progress) -> anyhow::Result<()> {
    let (half, most) = (progress.latency(0.5), progress.latency(0.99));
    if output.json {
        let mut summary = Map::new();
        summary.insert("orders".into(), progress.total().into());
        for stage in Stage::ALL {
            summary.insert(stage.name().into(), progress.count(stage).into());
        }
        summary.insert("repeated".into(), progress.repeated().into());
        summary.insert("others".into(), progress.others().into());
        summary.insert("p50_ms".into(), json!(half));
        summary.insert("p99_ms".into(), json!(most));
        return output.json(&summary);
    }
    output.line(format_args!("\n{} orders", progress.total()))?;
    for stage in Stage::ALL {
        output.line(format_args!(
            "{:>14} {:>6}",
            stage.name(),
            progress.count(stage)
        ))?;
    }
    if let (Some(half), Some(most)) = (half, most) {
        let (half, most) = (readable(half), readable(most));
        output.line(format_args!(
            "from created to delivered: p50 {half}, p99 {most}"
        ))?;
    }
    if progress.repeated() > 0 {
        output.line(format_args!("{} events came again", progress.repeated()))?;
    }
    if progress.others() > 0 {
        output.line(format_args!(
            "{} events of orders of other runs",
            progress.others()
        ))?;
    }
    Ok(())
}

fn readable(milliseconds: i64) -> String {
    format!("{:?}", Duration::from_millis(milliseconds.unsigned_abs()))
}
