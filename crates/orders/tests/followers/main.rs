//! The workers that follow orders from the side, called without a broker: what they decide, and what their tables then say.

mod analytics;
mod expiry;
mod notifications;
mod support;
