//! The terms of one history, drawn from its seed: how many of everything, how slow, and with which bounds.

use std::time::Duration;

use jiff::Timestamp;
use longshore_worker::{Brake, Clock, OnDead, Park, Retry, Settings};

use crate::bench::GROUP;

/// Runs of the handler before a message is dead; more than any kind of note needs that is to succeed.
pub(super) const ATTEMPTS: u32 = 5;

#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) partitions: i32,
    pub(super) keys: usize,
    pub(super) messages: usize,
    pub(super) instances: usize,
    /// Things that befall the group.
    pub(super) events: usize,
    /// Share of messages that are not plain, in percent.
    pub(super) trouble: usize,
    pub(super) slowest_call: Duration,
    pub(super) settings: Settings,
}

impl Terms {
    pub(super) fn draw(random: &mut fastrand::Rng) -> Self {
        let strict = random.usize(..5) == 0;
        let settings = Settings {
            clock: Clock::from_tokio(Timestamp::UNIX_EPOCH),
            concurrency: [1, 2, 64][random.usize(..3)],
            max_in_flight: [1, 3, 2_000, 2_000][random.usize(..4)],
            max_batch: [1, 3, 500][random.usize(..3)],
            retry: Retry {
                attempts: random.u32(1..4),
                ..Retry::default()
            },
            park: Park {
                attempts: ATTEMPTS,
                first: Duration::from_millis(random.u64(100..3_000)),
                longest: Duration::from_secs(5),
                max_keys: [1, 2, 50_000, 50_000][random.usize(..4)],
                max_messages: [3, 50_000, 50_000][random.usize(..3)],
            },
            brake: Brake {
                window: 8,
                least: 4,
                share: [0.5, 1.0, 1.0][random.usize(..3)],
                first: Duration::from_millis(500),
                longest: Duration::from_secs(4),
            },
            on_dead: if strict {
                OnDead::HoldKey
            } else {
                OnDead::GoOn
            },
            handler_timeout: Duration::from_secs(3),
            drain: Duration::from_secs(5),
            offset_interval: Duration::from_millis(random.u64(10..500)),
            ..Settings::new(GROUP)
        };
        Self {
            partitions: random.i32(1..4),
            keys: random.usize(1..5),
            messages: random.usize(4..22),
            instances: random.usize(1..4),
            events: random.usize(2..14),
            trouble: [0, 30, 60, 100][random.usize(..4)],
            slowest_call: Duration::from_millis([0, 3, 30, 150][random.usize(..4)]),
            settings,
        }
    }

    pub(super) fn is_strict(&self) -> bool {
        self.settings.on_dead == OnDead::HoldKey
    }
}
