//! The order domain: events, state machine, ports with their sandbox, and the handlers of the order workers.
