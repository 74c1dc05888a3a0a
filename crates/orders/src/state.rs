//! The order state machine: events are facts that may come late, twice or out of turn, and never move an order back.

/// How far an order has come.
///
/// The states are ranked, and an order is in the highest one that it is known to have reached. So a late or repeated
/// event changes nothing, and all who hear the same events agree in the end, whatever order they heard them in.
///
/// A cancellation outranks the payment and is outranked by the shipment: a parcel that is on its way cannot be called
/// back by a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderState {
    /// Placed.
    Created,
    /// Reserved and charged.
    Paid,
    /// Nothing comes of it.
    Cancelled,
    /// A carrier has it.
    Shipped,
    /// The customer has it.
    Delivered,
}

impl OrderState {
    /// All states, by rank.
    pub const ALL: [Self; 5] = [
        Self::Created,
        Self::Paid,
        Self::Cancelled,
        Self::Shipped,
        Self::Delivered,
    ];

    /// The state after hearing that the order has reached `reached`.
    #[must_use]
    pub fn after(self, reached: Self) -> Self {
        self.max(reached)
    }

    /// Whether it goes no further in the ordinary course of things.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Cancelled | Self::Delivered)
    }

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
        }
    }

    /// The rank in the database. There is room between two ranks for states to come.
    pub fn rank(self) -> i64 {
        match self {
            Self::Created => 10,
            Self::Paid => 20,
            Self::Cancelled => 30,
            Self::Shipped => 40,
            Self::Delivered => 50,
        }
    }

    /// The highest known state of at most this rank; `None` below all of them.
    pub fn from_rank(rank: i64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .rev()
            .find(|state| state.rank() <= rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> impl Strategy<Value = OrderState> {
        prop::sample::select(OrderState::ALL.as_slice())
    }

    fn heard(events: &[OrderState]) -> OrderState {
        events
            .iter()
            .fold(OrderState::Created, |state, event| state.after(*event))
    }

    #[test]
    fn a_cancellation_comes_too_late_for_a_parcel_on_its_way() {
        assert_eq!(
            OrderState::Paid.after(OrderState::Cancelled),
            OrderState::Cancelled
        );
        assert_eq!(
            OrderState::Shipped.after(OrderState::Cancelled),
            OrderState::Shipped
        );
    }

    proptest! {
        #[test]
        fn no_event_moves_an_order_back(before in state(), event in state()) {
            prop_assert!(before.after(event) >= before);
        }

        #[test]
        fn hearing_events_again_changes_nothing(events in prop::collection::vec(state(), 0..8), again in any::<prop::sample::Index>()) {
            let once = heard(&events);
            if !events.is_empty() {
                let repeated = *again.get(&events);
                prop_assert_eq!(once.after(repeated), once);
            }
        }

        #[test]
        fn the_order_of_arrival_does_not_matter(
            (events, shuffled) in prop::collection::vec(state(), 0..8).prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
        ) {
            prop_assert_eq!(heard(&events), heard(&shuffled));
        }

        #[test]
        fn ranks_read_back_and_sort_as_the_states_do(a in state(), b in state()) {
            prop_assert_eq!(OrderState::from_rank(a.rank()), Some(a));
            prop_assert_eq!(a.cmp(&b), a.rank().cmp(&b.rank()));
        }
    }
}
