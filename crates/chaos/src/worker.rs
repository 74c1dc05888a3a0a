//! The worker that is disturbed: a handler that does what the message says, in a process like any other worker's.

use std::process::ExitCode;
use std::time::Duration;

use longshore::prelude::*;
use longshore::{RunError, init_telemetry, stop_signal};
use longshore_worker::SourceError;

use crate::arguments::{Strategy, WorkerCommand};
use crate::message::{Done, GROUP, Task, Work};

/// Exit code of a process that gave up before it had joined its group: a worker that finds no broker at its start does,
/// and whoever started it starts it again.
pub(crate) const NOT_STARTED: u8 = 3;

/// Exit code of a process that was fenced: a member with its `group.instance.id` joined after it. Nobody else has that of
/// a process here, so it was itself: a join that it had given up when the network was cut reached the group after the
/// next one. Its client is useless then, and whoever started it starts it again.
pub(crate) const FENCED: u8 = 4;

/// Exit code of a process whose `group.instance.id` was still held: by KIP-848, by one that was killed until its session is
/// over. Whoever started it starts it again.
pub(crate) const HELD: u8 = 5;

/// How long a slow message takes.
const SLOW: Duration = Duration::from_millis(80);

const MIGRATIONS: &[Migration] = &[Migration {
    module: "chaos",
    version: 1,
    name: "effects",
    // No key but a number: a second effect of a message is to be seen by the judge, not refused by the database.
    sql: "
        create table effect (
            number bigserial primary key,
            id text not null,
            key text not null,
            instance text not null
        );
    ",
}];

/// Does what the message says.
struct Obedient {
    instance: String,
    strategy: Strategy,
}

impl Handler for Obedient {
    type Payload = Work;
    const NAME: &'static str = "obedient";

    async fn handle(
        &self,
        message: &Envelope<Work>,
        context: &mut Context<'_, Work>,
    ) -> Result<(), Failure> {
        let work = message.event();
        match work.task {
            Task::Quick => {}
            Task::Slow => tokio::time::sleep(SLOW).await,
            Task::Flaky { failures } if context.attempt() <= failures => {
                return Err(Failure::transient("not this time"));
            }
            Task::Flaky { .. } => {}
            Task::Poison => return Err(Failure::permanent("never")),
        }
        match self.strategy {
            Strategy::Store => context.write(
                sql("insert into effect (id, key, instance) values ($1, $2, $3)")
                    .bind(message.identity().id.to_string())
                    .bind(&work.key)
                    .bind(&self.instance),
            ),
            Strategy::Transaction => {}
        }
        context.publish(&Done {
            key: work.key.clone(),
            sequence: work.sequence,
        })
    }
}

/// Runs a worker until it is told to stop.
pub(crate) fn main(command: &WorkerCommand) -> ExitCode {
    init_telemetry(command.worker.log_format);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, NOT_STARTED),
    };
    let code = runtime.block_on(run(command));
    runtime.shutdown_background();
    code
}

async fn run(command: &WorkerCommand) -> ExitCode {
    let stop = match stop_signal() {
        Ok(stop) => stop,
        Err(error) => return failed(&error, NOT_STARTED),
    };
    let mut stop = Box::pin(stop);
    let connected = tokio::select! {
        biased;
        () = &mut stop => return ExitCode::SUCCESS,
        connected = builder(command).connect(&command.worker) => connected,
    };
    let connected = match connected {
        Ok(connected) => connected,
        Err(error) => return failed(&error, NOT_STARTED),
    };
    match connected.run(stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, code_of(&error)),
    }
}

fn code_of(error: &RunError) -> u8 {
    match error {
        RunError::Source(SourceError::Fenced { .. }) => FENCED,
        RunError::Source(SourceError::InstanceHeld { .. }) => HELD,
        other => other.exit_code(),
    }
}

fn builder(command: &WorkerCommand) -> WorkerBuilder<Obedient> {
    let handler = Obedient {
        instance: command.instance.clone(),
        strategy: command.strategy,
    };
    let worker = match command.strategy {
        Strategy::Store => WorkerBuilder::new(GROUP, |_| handler).migrations(MIGRATIONS),
        Strategy::Transaction => WorkerBuilder::transactional(GROUP, handler),
    };
    worker.reads(Work::TOPIC).publishes(Done::TOPIC)
}

/// Tells it in the process's log, which is its standard error.
fn failed(error: &dyn std::error::Error, code: u8) -> ExitCode {
    crate::report::note(format_args!("worker: {}", crate::report::chain(error)));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Excuse;

    fn excuse(worker: usize, error: SourceError) -> Option<Excuse> {
        Excuse::of(worker, Some(code_of(&RunError::Source(error)).into()))
    }

    #[test]
    fn a_static_member_that_was_fenced_may_end_and_nobody_else() {
        let fenced = || SourceError::Fenced {
            group: GROUP.to_owned(),
        };
        assert_eq!(excuse(2, fenced()), Some(Excuse::Fenced));
        assert_eq!(excuse(1, fenced()), None, "it has no group.instance.id");
        let held = SourceError::InstanceHeld {
            group: GROUP.to_owned(),
        };
        assert_eq!(excuse(2, held), Some(Excuse::Held));
        let fatal = SourceError::Fatal {
            group: GROUP.to_owned(),
            source: "of another kind".into(),
        };
        assert_eq!(excuse(2, fatal), None);
        assert_eq!(Excuse::of(2, None), None, "ended by a signal");
        let not_started = Excuse::of(1, Some(NOT_STARTED.into()));
        assert_eq!(not_started, Some(Excuse::NotStarted));
    }
}
