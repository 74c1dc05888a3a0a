//! What the edits make of one dead letter, shown before anything is sent.

use bytes::Bytes;
use longshore_event::{Position, Record};
use serde_json::{Value, json};

use crate::command::dlq::stats::shortened;
use crate::output::note;

/// Characters of a value that are shown; with --json, all of it.
const MAX_VALUE_CHARS: usize = 200;
/// Characters before the first difference that are shown.
const LEAD_CHARS: usize = 40;

/// The first letter that is edited, before and after.
#[derive(Debug)]
pub(super) struct Example {
    place: Position,
    /// `None` for a tombstone.
    before: Option<String>,
    after: String,
}

impl Example {
    pub(super) fn new(record: &Record, edited: &Bytes) -> Self {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            place: record.position(),
            before: record.value.as_ref().map(text),
            after: text(edited),
        }
    }

    /// Values are text: as JSON, numbers would lose digits.
    pub(super) fn as_json(&self) -> Value {
        json!({
            "topic": self.place.partition.topic.as_ref(),
            "partition": self.place.partition.partition,
            "offset": self.place.offset.0,
            "before": self.before,
            "after": self.after,
        })
    }

    pub(super) fn tell(&self) {
        let before = self.before.as_deref().unwrap_or("(tombstone)");
        let start = start(before, &self.after);
        note(format_args!("The edit of {}:", self.place));
        note(format_args!("  before  {}", shown(before, start)));
        note(format_args!("  after   {}", shown(&self.after, start)));
    }
}

/// The character with which to begin, so that the first difference is seen.
fn start(before: &str, after: &str) -> usize {
    let both = before.chars().zip(after.chars());
    let same = both.take_while(|(before, after)| before == after).count();
    let is_long = |text: &str| text.chars().nth(MAX_VALUE_CHARS).is_some();
    match is_long(before) || is_long(after) {
        true => same.saturating_sub(LEAD_CHARS),
        false => 0,
    }
}

fn shown(text: &str, start: usize) -> String {
    let lead = if start == 0 { "" } else { "…" };
    let rest: String = text.chars().skip(start).collect();
    format!("{lead}{}", shortened(&rest, MAX_VALUE_CHARS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_far_behind_is_shown() {
        let long = "x".repeat(500);
        let (before, after) = (format!("{long}1{long}"), format!("{long}2{long}"));
        let start = start(&before, &after);
        assert_eq!(start, 460);
        let told = shown(&after, start);
        assert!(told.starts_with("…x") && told.contains("x2x"), "{told}");
        assert_eq!(shown("short", super::start("short", "shorter")), "short");
    }
}
