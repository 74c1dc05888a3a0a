//! Times on the command line: `500ms`, `25s`, `2m`, `1h`; a bare number is seconds.

use std::time::Duration;

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Reads a time of the command line: `500ms`, `25s`, `2m`, `1h`; a bare number is seconds. For `value_parser` of flags.
///
/// # Errors
/// A sentence that says how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = if unit.is_empty() { "s" } else { unit };
    let found = UNITS.iter().find(|(name, _)| *name == unit);
    let milliseconds = found.and_then(|(_, size)| number.parse::<u64>().ok()?.checked_mul(*size));
    milliseconds
        .map(Duration::from_millis)
        .ok_or_else(|| "write a whole number with its unit: 500ms, 25s, 2m, 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_or_are_seconds() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("25s", 25_000),
            ("25", 25_000),
            ("2m", 120_000),
            ("0", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "1.5s",
            "-1",
            "1d",
            "99999999999999999999h",
            "18446744073709551615h",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
