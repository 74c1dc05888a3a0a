//! Starting, stopping, and what survives.
