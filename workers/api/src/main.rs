//! The HTTP API, as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use longshore_api::{Api, ApiArgs};

fn main() -> ExitCode {
    let args = ApiArgs::parse();
    longshore::init_telemetry(args.log_format);
    longshore::run_process(async move {
        let stop = longshore::stop_signal()?;
        Api::connect(&args).await?.run(stop).await
    })
}
