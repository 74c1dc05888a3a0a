//! What has become of the fed orders, as their events are heard. No I/O.

use jiff::Timestamp;
use longshore_event::Record;

/// What can be heard of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Created,
    Paid,
    Shipped,
    Delivered,
    Cancelled,
    DeadLettered,
}

impl Stage {
    pub(super) const ALL: [Self; 6] = [
        Self::Created,
        Self::Paid,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::DeadLettered,
    ];

    const TOPICS: [(&'static str, Self); 8] = [
        ("order.created", Self::Created),
        ("order.paid", Self::Paid),
        ("order.shipped", Self::Shipped),
        ("order.delivered", Self::Delivered),
        ("order.cancelled", Self::Cancelled),
        ("order.created.dlq", Self::DeadLettered),
        ("order.paid.dlq", Self::DeadLettered),
        ("order.shipped.dlq", Self::DeadLettered),
    ];

    /// Where it is heard.
    pub(super) fn topics() -> Vec<&'static str> {
        Self::TOPICS.iter().map(|(topic, _)| *topic).collect()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::DeadLettered => "dead-lettered",
        }
    }

    fn is_end(self) -> bool {
        matches!(self, Self::Delivered | Self::Cancelled | Self::DeadLettered)
    }
}

/// Tells the orders of one run from those of another.
#[derive(Clone, Debug)]
pub(super) struct RunId(String);

impl RunId {
    /// The id of the run's `number`-th order.
    pub(super) fn order(&self, number: usize) -> String {
        format!("{}-{number}", self.0)
    }

    fn number(&self, order_id: &str) -> Option<usize> {
        let number = order_id.strip_prefix(&self.0)?.strip_prefix('-')?;
        number.parse().ok()
    }
}

/// The orders of a run.
#[derive(Debug)]
pub(super) struct Progress {
    run: RunId,
    orders: Vec<Order>,
    /// Orders heard of, by stage.
    counts: [usize; Stage::ALL.len()],
    ended: usize,
    /// Events that were heard again.
    repeated: usize,
    /// Events of orders of other runs.
    others: usize,
    /// From created to delivered, in milliseconds.
    latencies: Vec<i64>,
}

#[derive(Clone, Debug, Default)]
struct Order {
    heard: [bool; Stage::ALL.len()],
    created_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
    ended: bool,
}

impl Progress {
    /// `now` tells the orders of this run from those of another.
    pub(super) fn new(orders: usize, now: Timestamp) -> Self {
        Self {
            run: RunId(format!("o-{:x}", now.as_millisecond())),
            orders: vec![Order::default(); orders],
            counts: [0; Stage::ALL.len()],
            ended: 0,
            repeated: 0,
            others: 0,
            latencies: Vec::with_capacity(orders),
        }
    }

    pub(super) fn run(&self) -> RunId {
        self.run.clone()
    }

    pub(super) fn total(&self) -> usize {
        self.orders.len()
    }

    pub(super) fn count(&self, stage: Stage) -> usize {
        self.counts[stage as usize]
    }

    pub(super) fn repeated(&self) -> usize {
        self.repeated
    }

    pub(super) fn others(&self) -> usize {
        self.others
    }

    pub(super) fn all_ended(&self) -> bool {
        self.ended == self.orders.len()
    }

    /// The ids of orders that have not ended, whether they are known to be created or not.
    pub(super) fn open(&self) -> Vec<String> {
        self.ids(|order| !order.ended)
    }

    /// The ids of orders that are known to be created and have not ended.
    pub(super) fn on_their_way(&self) -> Vec<String> {
        self.ids(|order| order.heard[Stage::Created as usize] && !order.ended)
    }

    fn ids(&self, holds: impl Fn(&Order) -> bool) -> Vec<String> {
        let orders = self.orders.iter().enumerate();
        orders
            .filter(|(_, order)| holds(order))
            .map(|(number, _)| self.run.order(number))
            .collect()
    }

    /// The time from created to delivered that this share of the delivered orders did not exceed, in milliseconds.
    pub(super) fn latency(&self, share: f64) -> Option<i64> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }

    /// Takes in a record of one of [`Stage::topics`].
    pub(super) fn heard(&mut self, record: &Record) {
        let topic = &*record.partition.topic;
        let Some((_, stage)) = Stage::TOPICS.iter().find(|(name, _)| *name == topic) else {
            return;
        };
        let key = record
            .key
            .as_deref()
            .and_then(|key| std::str::from_utf8(key).ok());
        let number = key.and_then(|key| self.run.number(key));
        match number.filter(|number| *number < self.orders.len()) {
            Some(number) => self.reached(number, *stage, record.timestamp),
            None => self.others += 1,
        }
    }

    fn reached(&mut self, number: usize, stage: Stage, at: Option<Timestamp>) {
        let order = &mut self.orders[number];
        if std::mem::replace(&mut order.heard[stage as usize], true) {
            self.repeated += 1;
            return;
        }
        self.counts[stage as usize] += 1;
        match stage {
            Stage::Created => order.created_at = at,
            Stage::Delivered => order.delivered_at = at,
            _ => {}
        }
        // The two come from different topics, so either may be heard first.
        if let (Stage::Created | Stage::Delivered, Some(from), Some(to)) =
            (stage, order.created_at, order.delivered_at)
        {
            self.latencies
                .push(to.as_millisecond() - from.as_millisecond());
        }
        if stage.is_end() && !std::mem::replace(&mut order.ended, true) {
            self.ended += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_event::{Headers, Offset, TopicPartition};

    fn heard(progress: &mut Progress, topic: &str, key: &str, at: i64) {
        progress.heard(&Record {
            partition: TopicPartition::new(topic, 0),
            offset: Offset(0),
            timestamp: Some(Timestamp::from_millisecond(at).expect("time")),
            key: Some(key.to_owned().into()),
            value: None,
            headers: Headers::new(),
        });
    }

    #[test]
    fn orders_end_by_delivery_cancellation_or_dead_letter() {
        let mut progress = Progress::new(4, Timestamp::UNIX_EPOCH);
        let ids: Vec<_> = (0..4).map(|number| progress.run().order(number)).collect();
        heard(&mut progress, "order.delivered", &ids[0], 30);
        heard(&mut progress, "order.created", &ids[0], 10);
        heard(&mut progress, "order.cancelled", &ids[1], 20);
        heard(&mut progress, "order.paid.dlq", &ids[2], 20);
        heard(&mut progress, "order.created", &ids[3], 20);

        assert!(!progress.all_ended());
        assert_eq!(progress.open(), [ids[3].clone()]);
        assert_eq!(progress.latency(0.5), Some(20));
        heard(&mut progress, "order.delivered", &ids[3], 40);
        assert!(progress.all_ended());
    }

    #[test]
    fn repeated_events_and_those_of_others_are_told_apart() {
        let mut progress = Progress::new(1, Timestamp::UNIX_EPOCH);
        let id = progress.run().order(0);
        heard(&mut progress, "order.paid", &id, 1);
        heard(&mut progress, "order.paid", &id, 2);
        heard(&mut progress, "order.paid", "o-1", 2);
        let beyond = progress.run().order(1);
        heard(&mut progress, "order.paid", &beyond, 2);

        assert_eq!(progress.count(Stage::Paid), 1);
        assert_eq!((progress.repeated(), progress.others()), (1, 2));
    }

    #[test]
    fn latencies_are_read_by_rank() {
        let mut progress = Progress::new(100, Timestamp::UNIX_EPOCH);
        assert_eq!(progress.latency(0.5), None);
        for number in 0..100 {
            let id = progress.run().order(number);
            heard(&mut progress, "order.created", &id, 0);
            heard(&mut progress, "order.delivered", &id, number as i64 + 1);
        }
        assert_eq!(
            (progress.latency(0.5), progress.latency(0.99)),
            (Some(50), Some(99))
        );
    }
}
