//! The questions that the tables answer.

use jiff::Timestamp;
use longshore_store::{Row, SqlStore};
use longshore_worker::{StoreError, sql};

use super::report::{AnalyticsFunnel, AnalyticsHours, AnalyticsSummary, Count, Hour, Step};
use super::tables::{HOUR, MOST};
use crate::OrderState;

/// Hours that are answered at once: ten weeks in which something happens in each.
const MAX_HOURS: i64 = 1_680;

/// The sums of the analytics worker.
#[derive(Clone, Debug)]
pub struct Analytics {
    store: SqlStore,
}

/// Whole hours: from the one that `since` lies in to the one that `until` lies in, both included. Without bounds: all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// Something in the first hour.
    pub since: Option<Timestamp>,
    /// Something in the last hour.
    pub until: Option<Timestamp>,
}

impl Window {
    /// The first and the last hour, in milliseconds since 1970.
    fn hours(self) -> (i64, i64) {
        let hour = |at: Timestamp| at.as_millisecond().max(0) / HOUR * HOUR;
        (self.since.map_or(0, hour), self.until.map_or(MOST, hour))
    }
}

impl Analytics {
    /// The sums in `store`, which was opened with [`MIGRATIONS`](super::MIGRATIONS).
    pub fn new(store: &SqlStore) -> Self {
        let store = store.clone();
        Self { store }
    }

    /// Counts, money and times of the window.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn summary(&self, window: Window) -> Result<AnalyticsSummary, StoreError> {
        Ok(AnalyticsSummary {
            counts: self.counts(window).await?,
            steps: self.steps(window).await?,
        })
    }

    /// How many orders came how far in the window.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn funnel(&self, window: Window) -> Result<AnalyticsFunnel, StoreError> {
        Ok(AnalyticsFunnel::of(&self.counts(window).await?))
    }

    /// Counts and money of each hour of the window.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn hours(&self, window: Window) -> Result<AnalyticsHours, StoreError> {
        let (first, last) = window.hours();
        let query = sql(
            "select event, currency, reason, cast(sum(orders) as bigint), cast(sum(events) as bigint), cast(sum(amount) as bigint), hour
             from analytics_hours
             where hour in (
                 select distinct hour from analytics_hours where hour >= $1 and hour <= $2 order by hour desc limit $3
             )
             group by hour, event, currency, reason
             order by hour desc, event, currency, reason",
        );
        // One more than is answered tells whether there are more.
        let query = query.bind(first).bind(last).bind(MAX_HOURS + 1);
        let mut hours: Vec<Hour> = Vec::new();
        for row in self.store.fetch(&query).await? {
            let hour = moment(integer(&row, 6));
            match hours.last_mut() {
                Some(latest) if latest.hour == hour => latest.counts.push(count(&row)),
                _ => hours.push(Hour {
                    hour,
                    counts: vec![count(&row)],
                }),
            }
        }
        let has_more = hours.len() > MAX_HOURS as usize;
        hours.truncate(MAX_HOURS as usize);
        for hour in &mut hours {
            in_usual_order(&mut hour.counts);
        }
        Ok(AnalyticsHours { hours, has_more })
    }

    async fn counts(&self, window: Window) -> Result<Vec<Count>, StoreError> {
        let (first, last) = window.hours();
        let query = sql(
            "select event, currency, reason, cast(sum(orders) as bigint), cast(sum(events) as bigint), cast(sum(amount) as bigint)
             from analytics_hours where hour >= $1 and hour <= $2
             group by event, currency, reason order by event, currency, reason",
        );
        let rows = self.store.fetch(&query.bind(first).bind(last)).await?;
        let mut counts: Vec<Count> = rows.iter().map(count).collect();
        in_usual_order(&mut counts);
        Ok(counts)
    }

    async fn steps(&self, window: Window) -> Result<Vec<Step>, StoreError> {
        let (first, last) = window.hours();
        let query = sql(
            "select step, bound, cast(sum(orders) as bigint), cast(sum(total) as bigint), min(shortest), max(longest)
             from analytics_times where hour >= $1 and hour <= $2
             group by step, bound order by step, bound",
        );
        let rows = self.store.fetch(&query.bind(first).bind(last)).await?;
        let steps = rows.chunk_by(|one, next| one.text(0) == next.text(0));
        Ok(steps.map(step).collect())
    }
}

fn count(row: &Row) -> Count {
    let text = |column| row.text(column).map(str::to_owned);
    let currency = text(1).filter(|currency| !currency.is_empty());
    Count {
        event: text(0).unwrap_or_default(),
        reason: text(2).filter(|reason| !reason.is_empty()),
        orders: integer(row, 3),
        events: integer(row, 4),
        amount: currency.is_some().then(|| integer(row, 5).min(MOST)),
        currency,
    }
}

/// `classes` are the classes of one step's histogram, in ascending order; there is at least one.
fn step(classes: &[Row]) -> Step {
    let orders = classes.iter().map(|class| integer(class, 2)).sum();
    let longest_ms = classes.iter().map(|class| integer(class, 5)).max();
    let longest_ms = longest_ms.unwrap_or(0);
    let percentile = |hundredths: i64| {
        // The rank of the order that the rest of the share is not slower than: rounded up, and from 1.
        let rank = (orders * hundredths + 99) / 100;
        let mut below = 0;
        let class = classes.iter().find(|class| {
            below += integer(class, 2);
            below >= rank
        });
        // Nobody took longer than the longest, whatever the class allows.
        class.map_or(0, |class| integer(class, 1).min(longest_ms))
    };
    Step {
        step: classes[0].text(0).unwrap_or_default().to_owned(),
        orders,
        total_ms: classes.iter().map(|class| integer(class, 3)).sum(),
        shortest_ms: classes
            .iter()
            .map(|class| integer(class, 4))
            .min()
            .unwrap_or(0),
        longest_ms,
        p50_ms: percentile(50),
        p90_ms: percentile(90),
        p99_ms: percentile(99),
    }
}

/// The columns that are asked for here are never null.
fn integer(row: &Row, column: usize) -> i64 {
    row.integer(column).unwrap_or(0)
}

/// Hours are of times that are valid; what another program wrote is shown as 1970.
fn moment(hour: i64) -> Timestamp {
    Timestamp::from_millisecond(hour).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Cancellations come last: they may follow on anything.
fn in_usual_order(counts: &mut [Count]) {
    const USUAL: [OrderState; 5] = [
        OrderState::Created,
        OrderState::Paid,
        OrderState::Shipped,
        OrderState::Delivered,
        OrderState::Cancelled,
    ];
    counts.sort_by_key(|count| USUAL.iter().position(|state| state.as_str() == count.event));
}
