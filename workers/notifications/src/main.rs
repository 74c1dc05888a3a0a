//! The worker of notifications, as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore::main_with(longshore_orders::notifications)
}
