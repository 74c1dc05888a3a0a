//! The life of a worker's process: parse, log, run, exit code.

use std::process::ExitCode;

use clap::Args;
use longshore_worker::Handler;
use tracing::error;

use crate::error::chain;
use crate::{RunError, WorkerArgs, WorkerBuilder, init_telemetry, stop_signal};

/// Runs a worker as a process of its own until SIGTERM or Ctrl-C; a second signal ends it at once.
///
/// The exit code is 0 if it was asked to stop and did so cleanly, 1 if it failed, 2 if the command line is wrong.
pub fn main<H: Handler>(worker: WorkerBuilder<H>) -> ExitCode {
    let (args, ()) = WorkerArgs::parse_for(&worker);
    run(worker, &args)
}

/// As [`main`], for a worker that has flags of its own beside those of every worker. `worker` is asked twice: with the
/// defaults for what `--help` says, and with what the command line and the environment say.
///
/// Each flag should name an environment variable, as those of every worker do.
///
/// # Panics
/// In debug builds, if a flag of its own is one that every worker has.
pub fn main_with<A, H>(worker: impl Fn(A) -> WorkerBuilder<H>) -> ExitCode
where
    A: Args + Default,
    H: Handler,
{
    let (args, own) = WorkerArgs::parse_for(&worker(A::default()));
    run(worker(own), &args)
}

fn run<H: Handler>(worker: WorkerBuilder<H>, args: &WorkerArgs) -> ExitCode {
    init_telemetry(args.log_format);
    run_process(async move { worker.run(args, stop_signal()?).await })
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
