//! The group state machine under injected time.
