//! The worker of `order.created`, as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore::main(longshore_orders::order_created())
}
