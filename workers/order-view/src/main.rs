//! The worker that keeps the projection of orders, as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore::main(longshore_api::order_view())
}
