//! `longshore-chaos`: worker processes on Apache Kafka and PostgreSQL, or on Apache Kafka alone in its transactions,
//! killed, stopped and cut off for a while, and a judge who reads what is left: every message with exactly one end, every
//! effect or output once and in the order of its key.

mod arguments;
mod message;
mod worker;

mod network;

mod plan;
mod run;

mod site;

mod fleet;

mod disturb;

mod producer;

mod settle;

mod evidence;
mod judge;
mod violation;

mod report;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Worker(worker)) => worker::main(worker),
        None if arguments.needs_network() => report::exit_code(network::enter(&arguments)),
        None => report::exit_code(run::main(&arguments)),
    }
}
