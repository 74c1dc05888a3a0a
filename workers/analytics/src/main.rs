//! The worker of analytics, as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore::main(longshore_orders::analytics())
}
