//! The producers of one transactional id, one after another, and the transactions they make.

use std::time::Duration;

use longshore_event::OutgoingRecord;
use rdkafka::types::RDKafkaErrorCode;

use super::attempt::{Attempt, Failure, Next, Sending, SourceOffsets};
use crate::admin::REQUEST;
use crate::native::{ClientError, Remedy};
use crate::producer::Producer;
use crate::{Connection, KafkaError};

/// How long a topic that is not known may take to answer whether it exists by now.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Makes transactions under one transactional id, by one producer at a time.
#[derive(Debug)]
pub(super) struct Producers {
    connection: Connection,
    id: String,
    timeout: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    /// There is none, or the last one is useless.
    None,
    /// The last one was fenced: another one of the id has begun elsewhere.
    Fenced,
    /// What earlier ones left open has not been ended yet.
    Starting(Producer),
    Ready(Producer),
}

impl Producers {
    /// Makes the first one, which sends nothing yet. Properties that are not accepted are told now.
    pub(super) fn new(
        connection: &Connection,
        id: String,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let producer = Producer::transactional(connection, &id, timeout)?;
        Ok(Self {
            connection: connection.clone(),
            id,
            timeout,
            state: State::Starting(producer),
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Makes sure that there is a producer under which nothing earlier is open.
    pub(super) fn start(&mut self) -> Result<(), KafkaError> {
        let producer = self.started()?;
        self.state = State::Ready(producer);
        Ok(())
    }

    /// The same by a new producer, unless the one there is has never made a transaction: it fences whoever has begun since.
    pub(super) fn restart(&mut self) -> Result<(), KafkaError> {
        if !matches!(self.state, State::Starting(_)) {
            self.state = State::None;
        }
        self.start()
    }

    /// The producer under which nothing earlier is open.
    pub(super) fn ready(&self) -> Option<&Producer> {
        match &self.state {
            State::Ready(producer) => Some(producer),
            _ => None,
        }
    }

    /// Whether the last producer was fenced by another one of the id.
    pub(super) fn are_fenced(&self) -> bool {
        matches!(self.state, State::Fenced)
    }

    /// Takes the producer under which nothing earlier is open, or makes one. [`Producers::attempt`] puts it back.
    pub(super) fn started(&mut self) -> Result<Producer, KafkaError> {
        let producer = match std::mem::replace(&mut self.state, State::None) {
            State::Ready(producer) if !producer.has_failed() => return Ok(producer),
            State::Starting(producer) if !producer.has_failed() => producer,
            _ => Producer::transactional(&self.connection, &self.id, self.timeout)?,
        };
        match producer.client().init_transactions(REQUEST) {
            Ok(()) => {
                tracing::info!(transactional_id = self.id, "ready for transactions");
                Ok(producer)
            }
            Err(failed) => {
                if failed.remedy == Remedy::Retry {
                    self.state = State::Starting(producer);
                }
                Err(self.no_answer("initialise transactions", failed.error))
            }
        }
    }

    /// Takes the producer that is ready, and makes none: a new one would fence whoever has begun since.
    pub(super) fn take_ready(&mut self) -> Option<Producer> {
        match std::mem::replace(&mut self.state, State::None) {
            State::Ready(producer) if !producer.has_failed() => Some(producer),
            State::Ready(producer) => {
                self.state = after(&producer);
                None
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Makes one transaction; after a failure nothing is open, save what is to be settled. Unless its commit has begun,
    /// it is given up when `give_up` is ready.
    pub(super) async fn attempt(
        &mut self,
        producer: Producer,
        sending: Sending,
        records: &[&OutgoingRecord],
        offsets: Option<SourceOffsets<'_>>,
        give_up: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let attempt = Attempt {
            producer: &producer,
            records,
            offsets,
            brokers: &self.connection.brokers,
            timeout: self.timeout,
        };
        let outcome = attempt.run(sending, give_up).await;
        let is_usable = match &outcome {
            Ok(()) => true,
            Err(failure) => match &failure.next {
                Next::Abort => self.abort(&producer),
                Next::AbortAndLookUp(topic) => {
                    let aborted = self.abort(&producer);
                    look_up(&producer, topic);
                    aborted
                }
                Next::SendAlone => {
                    // Not to keep readers waiting until the next one has begun.
                    self.abort(&producer);
                    false
                }
                Next::Replace | Next::Settle => false,
            },
        };
        self.state = if is_usable {
            State::Ready(producer)
        } else {
            after(&producer)
        };
        outcome
    }

    /// Aborts; `false` leaves it to the next producer.
    fn abort(&self, producer: &Producer) -> bool {
        let aborted = producer.client().abort_transaction();
        if let Err(failed) = &aborted {
            tracing::warn!(
                transactional_id = self.id,
                error = %failed.error,
                "a transaction was not aborted; the next producer does it"
            );
        }
        aborted.is_ok()
    }

    pub(super) fn no_answer(&self, action: &str, error: ClientError) -> KafkaError {
        let brokers = &self.connection.brokers;
        KafkaError::of(brokers, action.to_owned(), REQUEST, error)
    }
}

/// What a producer that is of no more use leaves behind.
fn after(producer: &Producer) -> State {
    use RDKafkaErrorCode as Code;
    let error = producer.client().fatal_error();
    let is_fenced = error.is_some_and(|error| {
        matches!(
            error.code,
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch
        )
    });
    if is_fenced {
        State::Fenced
    } else {
        State::None
    }
}

/// Lets the producer learn of a topic that was created since: it would not ask by itself for a minute.
fn look_up(producer: &Producer, topic: &str) {
    if let Err(error) = producer.look_up(topic, LOOK_AGAIN) {
        tracing::debug!(topic, error = %error, "not known whether the topic exists");
    }
}
