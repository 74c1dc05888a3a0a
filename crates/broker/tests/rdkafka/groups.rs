//! Who consumes what: rebalances, static members, members that vanish.
