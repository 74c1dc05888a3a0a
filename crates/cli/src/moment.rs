//! Moments as people write them: a time, or how long ago.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde::{Deserialize, Serialize};

/// How a moment is written, for those who wrote something else.
pub(crate) const WRITTEN: &str = "a time (2026-11-23T08:00:00Z; UTC if it has no offset) or how long ago (15m, 2h, 7d; units w, d, h, m, s)";

/// A moment that was given on the command line. How long ago it was is taken from when the command was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl Moment {
    /// `None` if it is neither a time nor a duration.
    pub(crate) fn parse(text: &str, now: Timestamp) -> Option<Self> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Some(Self(time));
        }
        // Without an offset, UTC: the same command means the same everywhere, and output is in UTC too.
        if let Ok(at) = text.parse::<DateTime>() {
            let zoned = at.to_zoned(TimeZone::UTC).ok()?;
            return Some(Self(zoned.timestamp()));
        }
        let ago = ago(text).filter(|ago| ago.is_positive())?;
        now.checked_sub(ago).ok().map(Self)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, Timestamp::now()).ok_or_else(|| format!("write {WRITTEN}"))
    }
}

/// Days and weeks as topic files take them: 24 hours, and seven times that. Months and years have no length.
fn ago(text: &str) -> Option<SignedDuration> {
    let span = text.parse::<Span>().ok()?;
    let days = SpanRelativeTo::days_are_24_hours();
    span.to_duration(days).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().expect("a time");
        for (text, time) in [
            ("2026-11-23T07:00:00Z", "2026-11-23T07:00:00Z"),
            ("2026-11-23T07:00:00+02:00", "2026-11-23T05:00:00Z"),
            ("2026-11-23", "2026-11-23T00:00:00Z"),
            ("2026-11-23T07:30", "2026-11-23T07:30:00Z"),
            ("15m", "2026-11-23T07:45:00Z"),
            ("1h30m", "2026-11-23T06:30:00Z"),
            ("1d", "2026-11-22T08:00:00Z"),
            ("1w2d", "2026-11-14T08:00:00Z"),
        ] {
            let time = time.parse().expect("a time");
            assert_eq!(Moment::parse(text, now), Some(Moment(time)), "{text}");
        }
        for text in ["", "soon", "10", "-x", "0s", "0d", "1mo", "1y", "beginning"] {
            assert_eq!(Moment::parse(text, now), None, "{text}");
        }
    }
}
