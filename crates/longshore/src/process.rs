//! The life of a worker's process: parse, log, run, exit code.

use std::process::ExitCode;

use longshore_worker::Handler;
use tracing::error;

use crate::error::chain;
use crate::{WorkerArgs, WorkerBuilder, init_telemetry, stop_signal};

/// Runs a worker as a process of its own until SIGTERM or Ctrl-C; a second signal ends it at once.
///
/// The exit code is 0 if it was asked to stop and did so cleanly, 1 if it failed, 2 if the command line is wrong.
pub fn main<H: Handler>(worker: WorkerBuilder<H>) -> ExitCode {
    let args = WorkerArgs::parse_for(&worker);
    init_telemetry(args.log_format);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "no threads for the worker");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async { worker.run(&args, stop_signal()?).await });
    // What a handler handed to the blocking pool must not hold up a process that was told to leave.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{}", chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}
