//! The tables of the notifications worker, and the statements that change them.

use jiff::Timestamp;
use longshore_store::Migration;
use longshore_worker::{Statement, sql};

use super::MailKind;
use crate::{UserCreated, UserDeleted, UserUpdated};

/// Times are in microseconds since 1970. A user's `rank` is the kind of the event that was taken in last; of one who is
/// gone, the row stays without address and name, so that a late event does not bring them back.
///
/// `notification_mails` has one row for each order and kind of mail, for good. Its event is kept while the mail waits.
pub const MIGRATIONS: &[Migration] = &[Migration {
    module: "notifications",
    version: 1,
    name: "users, orders and mails",
    sql: "
        create table notification_users (
            user_id text not null primary key,
            email text,
            name text,
            rank bigint not null,
            changed_at bigint not null
        );
        create table notification_orders (
            order_id text not null primary key,
            user_id text not null
        );
        create table notification_mails (
            order_id text not null,
            kind text not null,
            state text not null,
            event text,
            changed_at bigint not null,
            primary key (order_id, kind)
        );
    ",
}];

/// What has become of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MailState {
    /// Whom it is for is not known yet.
    Waiting,
    /// A job sends it.
    Queued,
    /// Skipped: its order was not heard of in time.
    NoOrder,
    /// Skipped: its user was not heard of in time.
    NoUser,
    /// Skipped: its user is gone.
    UserGone,
}

impl MailState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::NoOrder => "no_order",
            Self::NoUser => "no_user",
            Self::UserGone => "user_gone",
        }
    }
}

/// `event` is kept for a mail that waits.
pub(super) fn mail(
    order_id: &str,
    kind: MailKind,
    state: MailState,
    event: Option<String>,
    at: Timestamp,
) -> Statement {
    sql(
        "insert into notification_mails (order_id, kind, state, event, changed_at) values ($1, $2, $3, $4, $5)
         on conflict (order_id, kind) do update set
             state = excluded.state, event = excluded.event, changed_at = excluded.changed_at
         where notification_mails.state = 'waiting'",
    )
    .bind(order_id.to_owned())
    .bind(kind.as_str())
    .bind(state.as_str())
    .bind(event)
    .bind(at.as_microsecond())
}

/// An order is its first user's.
pub(super) fn order(order_id: &str, user_id: &str) -> Statement {
    sql(
        "insert into notification_orders (order_id, user_id) values ($1, $2)
         on conflict (order_id) do nothing",
    )
    .bind(order_id.to_owned())
    .bind(user_id.to_owned())
}

pub(super) fn user_created(user: &UserCreated) -> Statement {
    let who = Some((&*user.email, &*user.name));
    self::user(&user.user_id, who, 1, user.created_at)
}

pub(super) fn user_updated(user: &UserUpdated) -> Statement {
    let who = Some((&*user.email, &*user.name));
    self::user(&user.user_id, who, 2, user.updated_at)
}

pub(super) fn user_deleted(user: &UserDeleted) -> Statement {
    self::user(&user.user_id, None, 3, user.deleted_at)
}

/// The three kinds of events come from three topics, in any turn: the latest counts, and of two at the same time the one
/// of the higher rank. Who is gone stays gone.
fn user(user_id: &str, who: Option<(&str, &str)>, rank: i64, at: Timestamp) -> Statement {
    sql(
        "insert into notification_users (user_id, email, name, rank, changed_at) values ($1, $2, $3, $4, $5)
         on conflict (user_id) do update set
             email = excluded.email, name = excluded.name, rank = excluded.rank, changed_at = excluded.changed_at
         where notification_users.rank < 3 and (
             excluded.rank = 3
             or excluded.changed_at > notification_users.changed_at
             or (excluded.changed_at = notification_users.changed_at and excluded.rank >= notification_users.rank)
         )",
    )
    .bind(user_id.to_owned())
    .bind(who.map(|(email, _)| email.to_owned()))
    .bind(who.map(|(_, name)| name.to_owned()))
    .bind(rank)
    .bind(at.as_microsecond())
}
