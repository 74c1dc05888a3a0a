//! The `longshore` command line: parse, run, exit code. 0 is done, 1 is failed, 2 is wrong usage.

mod arguments;
mod command;
mod moment;
mod output;
mod parse;
mod record;
mod table;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return output::failed(&error.into()),
    };
    let result = runtime.block_on(command::run(arguments));
    // A thread may still wait for standard input; there is nothing in it to finish.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failed(&error),
    }
}
