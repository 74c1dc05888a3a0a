//! Faults, for tests of clients: requests that come late, fail or lose their connection, coordinators
//! that move, groups that must rebalance.
//!
//! A connection asks once for each request whether there is any, which costs one relaxed load. A broker
//! that stops forgets its faults.

mod fault;
mod moves;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;

use crate::api::{self, failure};
use crate::node::Node;
use crate::sync::lock;
use crate::wire::{Call, WireError};
pub use fault::{ApiKey, Effect, Fault, FaultError, Injected, ResponseError};
pub use moves::Coordinated;
use moves::{Move, key_of, keys_sought};

/// Makes a broker misbehave. Clones are the same.
#[derive(Debug, Clone)]
pub struct Faults {
    node: Arc<Node>,
}

/// The number of a connection, in the order of being accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionNumber(u64);

/// What was injected into a broker and is not over yet.
#[derive(Debug, Default)]
pub(crate) struct ActiveFaults {
    /// How many there are below, so that a broker without any takes no lock.
    count: AtomicUsize,
    next_connection: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    faults: Vec<(Fault, Injected)>,
    moves: Vec<Move>,
}

impl Faults {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Injects `fault`, behind those that are there: a request meets the first that fits.
    ///
    /// # Errors
    ///
    /// The effect is to fail, and the broker has no error answer for that API.
    pub fn inject(&self, fault: Fault) -> Result<Injected, FaultError> {
        if matches!(fault.effect, Effect::Fail(_)) && !failure::is_possible(fault.api) {
            return Err(FaultError::NoErrorAnswer { api: fault.api });
        }
        let injected = Injected::default();
        let watched = injected.clone();
        if !fault.is_spent() {
            self.node
                .faults
                .change(|inner| inner.faults.push((fault, injected)));
        }
        Ok(watched)
    }

    /// Moves a coordinator: on every connection there is now, what concerns it is answered with
    /// `NOT_COORDINATOR` and not done, until a client that was told so has looked for the new one. That is
    /// this broker again, as there is no other.
    pub fn move_coordinator(&self, of: Coordinated) {
        let before = self.node.faults.next_connection.load(Ordering::Relaxed);
        self.node.faults.change(|inner| {
            inner.moves.retain(|active| active.of != of);
            inner.moves.push(Move::new(of, ConnectionNumber(before)));
        });
    }

    /// Makes the members of `group_id` join again; returns whether it has any. Those of a group of KIP-848, who never join
    /// again, let go of all their partitions instead, and are given them anew once everybody has.
    pub fn force_rebalance(&self, group_id: &str) -> bool {
        self.node.coordinator.force_rebalance(group_id)
    }

    /// Ends all faults and moves. A request that is being delayed stays so.
    pub fn clear(&self) {
        self.node.faults.change(|inner| *inner = Inner::default());
    }
}

impl ActiveFaults {
    /// Whether there is nothing that a request could meet.
    pub(crate) fn are_none(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// The number of a connection that was just accepted.
    pub(crate) fn number_connection(&self) -> ConnectionNumber {
        ConnectionNumber(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = lock(&self.inner);
        let changed = change(&mut inner);
        let count = inner.faults.len() + inner.moves.len();
        self.count.store(count, Ordering::Relaxed);
        changed
    }

    /// What `call` meets.
    fn meet(
        &self,
        call: &Call,
        body: &Bytes,
        connection: ConnectionNumber,
    ) -> Result<Option<Effect>, WireError> {
        let concerned = key_of(call, body)?;
        let sought = keys_sought(call, body)?;
        Ok(self.change(|inner| {
            inner
                .moves
                .retain(|active| !(active.was_told() && sought.contains(&active.of)));
            let of = concerned.as_ref();
            let moved = inner
                .moves
                .iter_mut()
                .any(|active| of == Some(&active.of) && active.refuses(connection));
            if moved {
                return Some(Effect::Fail(ResponseError::NotCoordinator));
            }
            inner.meet_fault(call.api, &call.client_id)
        }))
    }
}

impl Inner {
    fn meet_fault(&mut self, api: ApiKey, client_id: &StrBytes) -> Option<Effect> {
        let mut faults = self.faults.iter_mut();
        let met = faults.position(|(fault, _)| fault.meets(api, client_id))?;
        let (fault, injected) = &mut self.faults[met];
        injected.count();
        let effect = fault.effect;
        if fault.is_spent() {
            self.faults.remove(met);
        }
        Some(effect)
    }
}

/// Answers `call` with `body` as the faults want it; `None` when there is no answer.
///
/// # Errors
///
/// The connection is to be closed.
pub(crate) async fn answer(
    node: &Node,
    call: &Call,
    body: Bytes,
    connection: ConnectionNumber,
) -> Result<Option<BytesMut>, WireError> {
    match node.faults.meet(call, &body, connection)? {
        None => api::answer(node, call, body).await,
        Some(Effect::Delay(time)) => {
            tokio::time::sleep(time).await;
            api::answer(node, call, body).await
        }
        Some(Effect::Fail(error)) => failure::answer(call, body, error),
        Some(Effect::DropUnread) => Err(WireError::Dropped),
        Some(Effect::DropDone) => {
            api::answer(node, call, body).await?;
            Err(WireError::Dropped)
        }
    }
}
