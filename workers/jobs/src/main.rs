//! The worker of the job queues, as a process of its own.

use std::process::ExitCode;

use longshore_orders::job::{JobsConfig, jobs};

#[expect(
    clippy::print_stderr,
    reason = "logs begin later; this is wrong usage, told as such"
)]
fn main() -> ExitCode {
    match JobsConfig::from_environment() {
        Ok(config) => longshore::main(jobs(config)),
        Err(error) => {
            eprintln!("error: {error}; check SMTP_URL and MAIL_FROM");
            ExitCode::from(2)
        }
    }
}
