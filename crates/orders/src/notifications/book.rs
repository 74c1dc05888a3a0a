//! What the worker knows: whose an order is, where its user can be told, and which mails there have been.

use longshore_store::{Row, SqlStore};
use longshore_worker::{Failure, FailureExt, StoreError, sql};

use super::MailKind;
use super::tables::MailState;
use crate::OrderEvent;
use crate::refusal::failure;

/// The tables, to be read.
#[derive(Clone, Debug)]
pub(super) struct Book {
    store: SqlStore,
}

/// Whom the mails of an order are for, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Nobody has said whose the order is.
    NoOrder,
    /// Nobody has told of the user.
    NoUser {
        user_id: String,
    },
    /// The user is gone.
    Gone,
    Known {
        email: String,
        name: String,
    },
}

/// A mail that there is a row for.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) kind: MailKind,
    /// What it tells of, while it waits.
    pub(super) waiting: Option<OrderEvent>,
}

impl Book {
    pub(super) fn new(store: &SqlStore) -> Self {
        let store = store.clone();
        Self { store }
    }

    /// Whom an order's mails are for.
    pub(super) async fn reader(&self, order_id: &str) -> Result<Reader, Failure> {
        let query = sql("select user_id from notification_orders where order_id = $1")
            .bind(order_id.to_owned());
        let row = self.store.fetch_optional(&query).await.map_err(failure)?;
        match row.as_ref().and_then(|row| row.text(0)) {
            None => Ok(Reader::NoOrder),
            Some(user_id) => self.user(user_id).await,
        }
    }

    /// Whom the mails of a user's orders are for.
    pub(super) async fn user(&self, user_id: &str) -> Result<Reader, Failure> {
        let query = sql("select email, name from notification_users where user_id = $1")
            .bind(user_id.to_owned());
        let row = self.store.fetch_optional(&query).await;
        let Some(row) = row.map_err(failure)? else {
            let user_id = user_id.to_owned();
            return Ok(Reader::NoUser { user_id });
        };
        Ok(match (row.text(0), row.text(1)) {
            (Some(email), Some(name)) => Reader::Known {
                email: email.to_owned(),
                name: name.to_owned(),
            },
            _ => Reader::Gone,
        })
    }

    /// The mails of an order so far, in the order of their kinds.
    pub(super) async fn mails(&self, order_id: &str) -> Result<Vec<Mail>, Failure> {
        let query = sql("select kind, state, event from notification_mails where order_id = $1")
            .bind(order_id.to_owned());
        let rows = self.store.fetch(&query).await.map_err(failure)?;
        let mails = rows.iter().filter_map(|row| mail(row).transpose());
        let mut mails = mails.collect::<Result<Vec<_>, _>>()?;
        mails.sort_by_key(|mail| mail.kind);
        Ok(mails)
    }

    /// How many mails there are, by kind and state.
    pub(super) async fn counts(&self) -> Result<Vec<(String, String, i64)>, StoreError> {
        let query = sql(
            "select kind, state, count(*) from notification_mails group by kind, state order by kind, state",
        );
        let rows = self.store.fetch(&query).await?;
        let text = |row: &Row, column| row.text(column).unwrap_or_default().to_owned();
        let counts = rows.iter();
        Ok(counts
            .map(|row| (text(row, 0), text(row, 1), row.integer(2).unwrap_or(0)))
            .collect())
    }
}

/// `None` for a kind that this version does not know.
fn mail(row: &Row) -> Result<Option<Mail>, Failure> {
    let Some(kind) = row.text(0).and_then(MailKind::from_name) else {
        return Ok(None);
    };
    let waits = row.text(1) == Some(MailState::Waiting.as_str());
    let kept = row.text(2).filter(|_| waits);
    let waiting = kept.map(|kept| kind.event(kept)).transpose().permanent()?;
    Ok(Some(Mail { kind, waiting }))
}
