//! The tables of the jobs, their logs, their queues and their repetitions.

use longshore_store::Migration;

/// What the store of the jobs' worker has to be opened with.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        module: "jobs",
        version: 1,
        name: "jobs, logs, queues and repetitions",
        sql: TABLES,
    },
    Migration {
        module: "jobs",
        version: 2,
        name: "the attempt of a line has a column, and numbers tell runs apart",
        sql: "
            alter table job_logs add column attempt bigint not null default 0;
            update job_logs set attempt = number >> 32;
        ",
    },
];

/// - Times are microseconds since 1970.
/// - A job is `delayed` until it is due, then `waiting`, `active` while it runs under a lease, and in the end `completed`,
///   `failed` or, if its unique key was taken, `duplicate`. Each state that is looked through has an index of its own.
/// - `attempts_made` counts from the moment of the claim, so that a run whose process dies is counted, too.
/// - `endings` counts how often it has ended, a retry by hand being another life: the ids of its events derive from it.
/// - `topic` to `value` are the record that added it; its dead letter is made of it.
/// - `window_start` and `window_runs` of a queue are its rate limit at work.
const TABLES: &str = "
    create table jobs (
        id text not null primary key,
        queue text not null,
        state text not null,
        priority bigint not null,
        due_at bigint not null,
        added_at bigint not null,
        attempts bigint not null,
        attempts_made bigint not null,
        backoff text not null,
        time_limit_ms bigint not null,
        remove_on_complete bigint not null,
        unique_key text,
        duplicate_of text,
        lease_id text,
        lease_until bigint,
        started_at bigint,
        ended_at bigint,
        first_failed_at bigint,
        last_failed_at bigint,
        last_error text,
        progress bigint not null,
        endings bigint not null,
        topic text not null,
        partition bigint not null,
        record_offset bigint not null,
        recorded_at bigint,
        headers bytea not null,
        value bytea not null
    );
    create unique index jobs_unique on jobs (queue, unique_key)
        where unique_key is not null and state in ('delayed', 'waiting', 'active');
    create index jobs_waiting on jobs (queue, priority desc, due_at, id) where state = 'waiting';
    create index jobs_delayed on jobs (due_at) where state = 'delayed';
    create index jobs_active on jobs (lease_until) where state = 'active';
    create index jobs_ended on jobs (queue, state, ended_at) where ended_at is not null;
    create index jobs_added on jobs (added_at);

    create table job_logs (
        job_id text not null references jobs (id) on delete cascade,
        number bigint not null,
        at bigint not null,
        line text not null,
        primary key (job_id, number)
    );

    create table job_queues (
        name text not null primary key,
        paused bigint not null,
        window_start bigint not null,
        window_runs bigint not null
    );

    create table job_repeats (
        name text not null primary key,
        queue text not null,
        cron text not null,
        job text not null,
        next_at bigint not null,
        last_at bigint
    );
    create index job_repeats_next on job_repeats (next_at);
";
