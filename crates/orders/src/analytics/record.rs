//! The statements that count one event. They belong together, in this order, in one transaction.

use std::fmt::Write as _;
use std::sync::LazyLock;

use longshore_worker::{Statement, sql};

use super::fact::Fact;
use super::tables::{BEYOND, BOUNDS, HOUR, MOST};
use crate::OrderState;

/// Steps of an order, as reports name them: from one state to another.
const STEPS: [(&str, OrderState, OrderState); 5] = [
    ("created_to_paid", OrderState::Created, OrderState::Paid),
    ("paid_to_shipped", OrderState::Paid, OrderState::Shipped),
    (
        "shipped_to_delivered",
        OrderState::Shipped,
        OrderState::Delivered,
    ),
    (
        "created_to_delivered",
        OrderState::Created,
        OrderState::Delivered,
    ),
    (
        "created_to_cancelled",
        OrderState::Created,
        OrderState::Cancelled,
    ),
];

/// Remembers when the order came so far, if it is the first time that it is heard, and says in `news` whether it is.
pub(super) fn order(fact: &Fact<'_>) -> Statement {
    const TEXT: &str = "
        insert into analytics_orders (order_id, created_at, paid_at, shipped_at, delivered_at, cancelled_at, news)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (order_id) do update set
            created_at = coalesce(analytics_orders.created_at, excluded.created_at),
            paid_at = coalesce(analytics_orders.paid_at, excluded.paid_at),
            shipped_at = coalesce(analytics_orders.shipped_at, excluded.shipped_at),
            delivered_at = coalesce(analytics_orders.delivered_at, excluded.delivered_at),
            cancelled_at = coalesce(analytics_orders.cancelled_at, excluded.cancelled_at),
            news = case
                when analytics_orders.created_at is null and excluded.created_at is not null then excluded.news
                when analytics_orders.paid_at is null and excluded.paid_at is not null then excluded.news
                when analytics_orders.shipped_at is null and excluded.shipped_at is not null then excluded.news
                when analytics_orders.delivered_at is null and excluded.delivered_at is not null then excluded.news
                when analytics_orders.cancelled_at is null and excluded.cancelled_at is not null then excluded.news
                else 'nothing'
            end";
    sql(TEXT)
        .bind(fact.order_id.to_owned())
        .bind(fact.at_if(OrderState::Created))
        .bind(fact.at_if(OrderState::Paid))
        .bind(fact.at_if(OrderState::Shipped))
        .bind(fact.at_if(OrderState::Delivered))
        .bind(fact.at_if(OrderState::Cancelled))
        .bind(fact.state.as_str())
}

/// Adds the event to its hour, and the order and its money if they are news.
pub(super) fn hour(fact: &Fact<'_>, shard: &str) -> Statement {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let amount = capped("analytics_hours.amount + excluded.amount");
        format!(
            "insert into analytics_hours (hour, event, currency, reason, shard, events, orders, amount)
             select cast($1 as bigint), cast($2 as text), cast($3 as text), cast($4 as text), cast($5 as text), 1,
                 case when news = $2 then 1 else 0 end,
                 case when news = $2 then cast($6 as bigint) else 0 end
             from analytics_orders where order_id = $7
             on conflict (hour, event, currency, reason, shard) do update set
                 events = analytics_hours.events + excluded.events,
                 orders = analytics_hours.orders + excluded.orders,
                 amount = {amount}"
        )
    });
    sql(TEXT.as_str())
        .bind(fact.at / HOUR * HOUR)
        .bind(fact.state.as_str())
        .bind(fact.currency())
        .bind(fact.reason)
        .bind(shard.to_owned())
        .bind(fact.amount())
        .bind(fact.order_id.to_owned())
}

/// Adds the steps that this event is the second half of, if it is news.
pub(super) fn times(fact: &Fact<'_>, shard: &str) -> Statement {
    static TEXT: LazyLock<String> = LazyLock::new(times_text);
    sql(TEXT.as_str())
        .bind(fact.order_id.to_owned())
        .bind(shard.to_owned())
}

fn times_text() -> String {
    let mut bound = "case".to_owned();
    for most in BOUNDS {
        // Writing to a string does not fail.
        write!(bound, " when took <= {most} then {most}").ok();
    }
    write!(bound, " else {BEYOND} end").ok();
    let pairs = STEPS.map(|(step, from, to)| {
        let (from, to) = (from.as_str(), to.as_str());
        format!(
            "select '{step}' as step, {from}_at as began, {to}_at as ended
             from analytics_orders where order_id = $1 and news in ('{from}', '{to}')"
        )
    });
    let pairs = pairs.join(" union all ");
    let total = capped("analytics_times.total + excluded.total");
    format!(
        "insert into analytics_times (hour, step, bound, shard, orders, total, shortest, longest)
         select ended / {HOUR} * {HOUR}, step, {bound}, cast($2 as text), 1, took, took, took
         from (
             select step, ended, case when ended > began then ended - began else 0 end as took
             from ({pairs}) as pairs
             where began is not null and ended is not null
         ) as steps
         where true
         on conflict (hour, step, bound, shard) do update set
             orders = analytics_times.orders + excluded.orders,
             total = {total},
             shortest = case when excluded.shortest < analytics_times.shortest then excluded.shortest else analytics_times.shortest end,
             longest = case when excluded.longest > analytics_times.longest then excluded.longest else analytics_times.longest end"
    )
}

fn capped(sum: &str) -> String {
    format!("case when {sum} > {MOST} then {MOST} else {sum} end")
}
