//! The runtime's own tables, version by version.

use crate::Migration;

/// Rows of the outbox are read by sequence, whatever the partitions: there are few of them that are not timers, and each
/// index is paid for with every message.
pub(crate) const RUNTIME: &[Migration] = &[
    Migration {
        module: "longshore",
        version: 1,
        name: "inbox and outbox",
        sql: INBOX_AND_OUTBOX,
    },
    Migration {
        module: "longshore",
        version: 2,
        name: "fences, timers, parked messages and pruning",
        sql: FENCES_TIMERS_PARKED,
    },
    Migration {
        module: "longshore",
        version: 3,
        name: "parked messages by partition alone",
        sql: PARKED_BY_PARTITION,
    },
];

const INBOX_AND_OUTBOX: &str = "
    create table inbox (
        source text not null,
        id text not null,
        handled_at bigint not null,
        primary key (source, id)
    );
    create table outbox (
        id bytea not null primary key,
        sequence bigint not null,
        source_topic text not null,
        source_partition bigint not null,
        topic text not null,
        key bytea,
        value bytea,
        headers bytea not null,
        created_at bigint not null,
        due_at bigint
    );
    create index outbox_sequence on outbox (sequence);
";

/// - `handled_at` and `created_at` are milliseconds since 1970, every other time is microseconds.
/// - A row of the outbox with `due_at` is a timer. Each kind has indexes of its own, so that neither is read past the other.
///   A timer can be claimed when `coalesce(claimed_until, due_at)` has come; one that was never claimed can be cancelled.
/// - `name_hash` and `lane_hash` stand for names of any length: PostgreSQL refuses index rows of more than a third of a page.
/// - The record of a parked message is last, so that a look at the heads does not read through it.
const FENCES_TIMERS_PARKED: &str = "
    create table owners (
        topic text not null,
        partition bigint not null,
        epoch bigint not null,
        primary key (topic, partition)
    );

    alter table inbox add column redrivable bigint not null default 0;
    create index inbox_age on inbox (redrivable, handled_at);

    alter table outbox add column name_hash bytea;
    alter table outbox add column claimed_until bigint;
    drop index outbox_sequence;
    create index outbox_ready on outbox (sequence) where due_at is null;
    create index outbox_timers on outbox ((coalesce(claimed_until, due_at)), sequence) where due_at is not null;
    create index outbox_names on outbox (name_hash) where name_hash is not null;
    create index outbox_claimed on outbox (source_topic, source_partition) where claimed_until is not null;

    create table parked (
        source_topic text not null,
        source_partition bigint not null,
        source_offset bigint not null,
        sequence bigint not null,
        lane_hash bytea not null,
        lane bytea not null,
        identity_source text not null,
        identity_id text not null,
        redrive bigint not null,
        held bigint not null,
        attempts bigint not null,
        due_at bigint not null,
        failure_kind text,
        failure_type text,
        failure_message text,
        first_failed_at bigint,
        last_failed_at bigint,
        topic text not null,
        partition bigint not null,
        record_offset bigint not null,
        recorded_at bigint,
        key bytea,
        value bytea,
        headers bytea not null,
        primary key (source_topic, source_partition, source_offset)
    );
    create index parked_heads on parked (source_topic, source_partition, lane_hash, sequence);
    create index parked_lanes on parked (lane_hash, sequence);
";

/// Lanes are read partition by partition, for which `parked_heads` serves; every parked message paid for the other index.
const PARKED_BY_PARTITION: &str = "drop index if exists parked_lanes";
