//! What analytics answers, as JSON.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything in the window together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsSummary {
    /// By kind of event, in the order in which an order usually passes them.
    pub counts: Vec<Count>,
    /// How long the steps of orders took that ended in the window; without those that nobody took.
    pub steps: Vec<Step>,
}

/// One kind of event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// `created`, `paid`, `shipped`, `delivered` or `cancelled`.
    pub event: String,
    /// The ISO 4217 code, of events that carry money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Why, of cancellations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Orders that had such an event.
    pub orders: i64,
    /// Such events. More than orders, if some were published again under another id.
    pub events: i64,
    /// Minor units: what was ordered, or what was paid. At most 2^53 - 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
}

/// How long a step took. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// `created_to_paid` and so on.
    pub step: String,
    /// Orders that took it.
    pub orders: i64,
    /// The sum of their times.
    pub total_ms: i64,
    /// The shortest.
    pub shortest_ms: i64,
    /// The longest.
    pub longest_ms: i64,
    /// Half of the orders took no longer than this, the upper bound of a class of the histogram.
    pub p50_ms: i64,
    /// Nine of ten took no longer than this.
    pub p90_ms: i64,
    /// 99 of a hundred took no longer than this.
    pub p99_ms: i64,
}

/// The counts of each hour, the latest hour first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsHours {
    /// Hours in which something happened.
    pub hours: Vec<Hour>,
    /// Whether the window has more hours than are answered at once, all of them before these.
    pub has_more: bool,
}

/// What happened in one hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hour {
    /// When it began.
    pub hour: Timestamp,
    /// As in [`AnalyticsSummary`].
    pub counts: Vec<Count>,
}

/// How many orders came how far. It counts what happened in the window, so an order that was placed before it and is paid
/// within it is among the paid alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsFunnel {
    /// Orders placed.
    pub created: i64,
    /// Orders paid.
    pub paid: i64,
    /// Orders shipped.
    pub shipped: i64,
    /// Orders delivered.
    pub delivered: i64,
    /// Orders cancelled, by reason.
    pub cancelled: Vec<Cancelled>,
}

/// Orders cancelled for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancelled {
    /// Why.
    pub reason: String,
    /// How many.
    pub orders: i64,
}

impl AnalyticsFunnel {
    pub(super) fn of(counts: &[Count]) -> Self {
        let of = |event: &str| {
            let counts = counts.iter().filter(|count| count.event == event);
            counts.map(|count| count.orders).sum()
        };
        let cancelled = counts.iter().filter_map(|count| {
            Some(Cancelled {
                reason: count.reason.clone()?,
                orders: count.orders,
            })
        });
        Self {
            created: of("created"),
            paid: of("paid"),
            shipped: of("shipped"),
            delivered: of("delivered"),
            cancelled: cancelled.collect(),
        }
    }
}
