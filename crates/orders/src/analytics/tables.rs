//! The tables of the analytics worker: what is known of each order, and the sums.

use longshore_store::Migration;

/// Milliseconds of an hour.
pub(super) const HOUR: i64 = 3_600_000;

/// The most that an amount of money or of time is counted as, in one event and in one sum: the largest integer that every
/// reader of JSON holds exactly.
pub(super) const MOST: i64 = (1 << 53) - 1;

/// Bounds of the histogram of times, in milliseconds, the bound itself included; what takes longer has [`BEYOND`].
pub(super) const BOUNDS: [i64; 18] = [
    10,
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    30_000,
    60_000,
    300_000,
    900_000,
    HOUR,
    6 * HOUR,
    24 * HOUR,
    72 * HOUR,
    168 * HOUR,
];
/// Stands for the bound of what takes longer than the last of [`BOUNDS`].
pub(super) const BEYOND: i64 = MOST;

/// Times are in milliseconds since 1970, amounts in minor units.
///
/// The sums are told apart by `shard`: the event and partition that an addition comes from, which one instance owns at a
/// time. Two instances then never wait for each other's rows, however busy the current hour is.
///
/// `analytics_orders.news` is of no use beyond its transaction: it says what the last event that was heard of the order has
/// added to it, for the statements that follow.
pub const MIGRATIONS: &[Migration] = &[Migration {
    module: "analytics",
    version: 1,
    name: "orders, hours and times",
    sql: "
        create table analytics_orders (
            order_id text not null primary key,
            created_at bigint,
            paid_at bigint,
            shipped_at bigint,
            delivered_at bigint,
            cancelled_at bigint,
            news text not null
        );
        create table analytics_hours (
            hour bigint not null,
            event text not null,
            currency text not null,
            reason text not null,
            shard text not null,
            events bigint not null,
            orders bigint not null,
            amount bigint not null,
            primary key (hour, event, currency, reason, shard)
        );
        create table analytics_times (
            hour bigint not null,
            step text not null,
            bound bigint not null,
            shard text not null,
            orders bigint not null,
            total bigint not null,
            shortest bigint not null,
            longest bigint not null,
            primary key (hour, step, bound, shard)
        );
    ",
}];
