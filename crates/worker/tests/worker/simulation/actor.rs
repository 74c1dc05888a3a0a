//! The handler of the simulation: it does what the note's first word says, and writes down when.

use std::time::Duration;

use longshore_event::{Envelope, Event, Position};
use longshore_testkit::memory::{Echo, Note};
use longshore_worker::{Context, Failure, Handler, SetTimer, Store, sql};
use serde::{Deserialize, Serialize};

use super::journal::{Journal, Life, What};
use super::ports::SimStore;

/// What a note asks for, and how it must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must {
    Done,
    Die,
}

/// First words of notes, by how often they come: a later one of the same name makes it more frequent.
pub(super) const KINDS: [&str; 22] = [
    "plain", "plain", "plain", "plain", "slow", "ask", "unasked", "flaky", "flaky", "late", "late",
    "poison", "bad", "panic", "hang", "down", "set", "set", "set", "later", "cancel", "cancel",
];

/// What a timer publishes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ring {
    key: String,
}

impl Event for Ring {
    const TYPE: &'static str = "ring";
    const TOPIC: &'static str = "rings";

    fn key(&self) -> &str {
        &self.key
    }
}

/// How a note of this kind must end.
pub(super) fn must(text: &str) -> Must {
    match kind(text) {
        "poison" | "bad" | "panic" | "hang" | "down" => Must::Die,
        _ => Must::Done,
    }
}

fn kind(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

#[derive(Debug)]
pub(super) struct Actor {
    pub(super) life: Life,
    pub(super) journal: Journal,
    pub(super) store: SimStore,
}

/// Writes down the end of a run, however it comes.
struct Run<'a> {
    actor: &'a Actor,
    position: Position,
    how: &'static str,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let what = What::Ended {
            position: self.position.clone(),
            how: self.how,
        };
        self.actor.journal.write(Some(self.actor.life), what);
    }
}

impl Handler for Actor {
    type Payload = Note;
    const NAME: &'static str = "actor";

    async fn handle(
        &self,
        message: &Envelope<Note>,
        context: &mut Context<'_, Note>,
    ) -> Result<(), Failure> {
        let note = message.event();
        let position = message.record().position();
        let began = What::Began {
            position: position.clone(),
            key: message.record().key.clone(),
            text: note.text.clone(),
            attempt: context.attempt(),
        };
        self.journal.write(Some(self.life), began);
        let mut run = Run {
            actor: self,
            position,
            how: "drops",
        };
        let result = self.act(note, context).await;
        run.how = if result.is_ok() { "did" } else { "failed" };
        result
    }
}

/// The n-th word of a note.
fn word(note: &Note, n: usize) -> &str {
    note.text.split(' ').nth(n).unwrap_or_default()
}

impl Actor {
    /// Sets a timer for the milliseconds that the note names.
    fn ring<'c>(
        &self,
        note: &Note,
        context: &'c mut Context<'_, Note>,
    ) -> Result<SetTimer<'c>, Failure> {
        let after = Duration::from_millis(word(note, 1).parse()?);
        let ring = Ring {
            key: note.key.clone(),
        };
        context.publish_after(&ring, after)
    }

    async fn act(&self, note: &Note, context: &mut Context<'_, Note>) -> Result<(), Failure> {
        context.write(sql("insert into notes values ($1)").bind(note.text.clone()));
        context.publish(&Echo::from(note))?;
        match kind(&note.text) {
            "slow" => tokio::time::sleep(Duration::from_millis(fastrand::u64(50..900))).await,
            "ask" => self.store.ping().await?,
            "unasked" if fastrand::bool() => return Err(Failure::outage("not asked")),
            "flaky" if context.attempt() <= 1 => Err(std::io::Error::other("not yet"))?,
            "late" if context.attempt() <= 3 => Err(std::io::Error::other("not yet"))?,
            "down" => Err(std::io::Error::other("always"))?,
            "poison" => return Err(Failure::permanent("never")),
            "bad" => context.write(sql("bad write")),
            // Unwinds without the hook, which would print it thousands of times.
            "panic" => std::panic::resume_unwind(Box::new("as asked")),
            "hang" => std::future::pending().await,
            "cancel" => context.cancel(word(note, 1)),
            "set" => self.ring(note, context)?.named(word(note, 2)),
            "later" => self.ring(note, context).map(drop)?,
            _ => tokio::task::yield_now().await,
        }
        Ok(())
    }
}
