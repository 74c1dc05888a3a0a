//! The life of a worker's process: parse, log, run, exit code.

use std::process::ExitCode;

use longshore_worker::Handler;
use tracing::error;

use crate::error::chain;
use crate::{RunError, WorkerArgs, WorkerBuilder, init_telemetry, stop_signal};

/// Runs a worker as a process of its own until SIGTERM or Ctrl-C; a second signal ends it at once.
///
/// The exit code is 0 if it was asked to stop and did so cleanly, 1 if it failed, 2 if the command line is wrong.
pub fn main<H: Handler>(worker: WorkerBuilder<H>) -> ExitCode {
    let args = WorkerArgs::parse_for(&worker);
    init_telemetry(args.log_format);
    run_process(async move { worker.run(&args, stop_signal()?).await })
}

/// Runs what a process is for, in a tokio runtime of its own. What goes wrong is logged, and becomes the exit code.
pub fn run_process(run: impl Future<Output = Result<(), RunError>>) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "no threads for the process");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run);
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
