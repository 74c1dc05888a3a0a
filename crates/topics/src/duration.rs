//! Retention as people write it: `7d`, `12h`, `1d12h`, `forever`.

use std::fmt;
use std::str::FromStr;

/// How long records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Milliseconds, not negative.
    Milliseconds(i64),
    /// Until the topic is deleted.
    Forever,
}

/// From the largest.
const UNITS: [(&str, i64); 6] = [
    ("w", 7 * 24 * 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

const FOREVER: &str = "forever";

impl Retention {
    /// The value of `retention.ms`, where -1 stands for no limit.
    pub fn config_value(self) -> String {
        match self {
            Self::Milliseconds(count) => count.to_string(),
            Self::Forever => "-1".into(),
        }
    }

    /// Reads a value of `retention.ms`; `None` if it is no number.
    pub(crate) fn from_config(value: &str) -> Option<Self> {
        match value.parse().ok()? {
            count if count < 0 => Some(Self::Forever),
            count => Some(Self::Milliseconds(count)),
        }
    }

    /// Whether records that `other` keeps may be deleted under this one.
    pub(crate) fn is_shorter_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Milliseconds(this), Self::Milliseconds(other)) => this < other,
            (Self::Milliseconds(_), Self::Forever) => true,
            (Self::Forever, _) => false,
        }
    }
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == FOREVER {
            return Ok(Self::Forever);
        }
        milliseconds(text)
            .map(Self::Milliseconds)
            .ok_or_else(|| format!("{text:?} is no retention; write \"7d\", \"36h\", \"1w2d\" (units w, d, h, m, s, ms) or \"forever\""))
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Milliseconds(count) = *self else {
            return f.write_str(FOREVER);
        };
        // Not in weeks: 30 days are no whole number of them, and 7 days read as well.
        let divides = |unit: &&(&str, i64)| count != 0 && count % unit.1 == 0;
        let unit = UNITS[1..].iter().find(divides);
        let (name, size) = unit.unwrap_or(&("s", 1));
        write!(f, "{}{name}", count / size)
    }
}

fn milliseconds(mut text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let (count, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let part = count.parse::<i64>().ok()?.checked_mul(*size)?;
        total = total.checked_add(part)?;
        text = rest;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn retention_is_read_as_people_write_it() {
        for (text, expected) in [
            ("7d", "604800000"),
            ("1d12h", "129600000"),
            ("500ms", "500"),
            ("2w", "1209600000"),
            ("0s", "0"),
            ("forever", "-1"),
        ] {
            let retention: Retention = text.parse().expect(text);
            assert_eq!(retention.config_value(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_retention_is_refused() {
        for text in [
            "",
            "7",
            "d",
            "7 d",
            "-1d",
            "7days",
            "1.5h",
            "99999999999999w",
            "7D",
        ] {
            assert!(text.parse::<Retention>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_is_read_back(count in 0..i64::MAX) {
            let retention = Retention::Milliseconds(count);
            prop_assert_eq!(retention.to_string().parse(), Ok(retention));
        }
    }
}
