//! A record as one line of text: position, time, key, the headers that tie events together, value.

use std::borrow::Cow;
use std::io::{self, Write};

use longshore_event::{DeadLetter, Record, attribute};

use crate::output::{Colour, Output};

/// Headers that are shown, and under which name.
const SHOWN: [(&str, &str); 4] = [
    (attribute::TYPE, "type"),
    (attribute::ID, "id"),
    (attribute::CORRELATION_ID, "correlation"),
    (attribute::CAUSATION_ID, "cause"),
];

/// Writes `record` and a line feed. What comes from outside cannot move the cursor: control characters are escaped.
pub(crate) fn write_text(out: &mut impl Write, output: Output, record: &Record) -> io::Result<()> {
    let position = format!("{}@{}", record.partition, record.offset);
    write!(out, "{}", output.paint(Colour::Cyan, position))?;
    if let Some(time) = record.timestamp {
        write!(
            out,
            " {}",
            output.paint(Colour::Grey, format_args!("{time:.3}"))
        )?;
    }
    let key = record.key.as_deref().map(printable_bytes);
    write!(
        out,
        " {}",
        output.paint(Colour::Green, key.as_deref().unwrap_or("(no key)"))
    )?;
    let id = record.headers.get(attribute::ID);
    for (header, name) in SHOWN {
        let Some(value) = record.headers.get(header) else {
            continue;
        };
        let is_topic = header == attribute::TYPE && value == record.partition.topic.as_bytes();
        let is_own = header == attribute::CORRELATION_ID && Some(value) == id;
        if !is_topic && !is_own {
            let text = format!("{name}={}", printable_bytes(value));
            write!(out, " {}", output.paint(Colour::Grey, text))?;
        }
    }
    if let Some(letter) = DeadLetter::read(&record.headers) {
        let text = format!("{}: {}", letter.kind.as_str(), printable(&letter.message));
        write!(out, " {}", output.paint(Colour::Red, text))?;
    }
    match record.value.as_deref() {
        Some(value) => writeln!(out, " {}", printable_bytes(value)),
        None => writeln!(out, " (tombstone)"),
    }
}

/// Text without control characters: they are escaped, line feeds too.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// Bytes as text; `\xNN` for what is no UTF-8.
pub(crate) fn printable_bytes(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return printable(text);
    }
    let mut shown = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_event::{Headers, Offset, TopicPartition};

    #[test]
    fn a_line_shows_where_when_who_and_what() {
        let mut headers = Headers::new();
        headers.push_str(attribute::ID, "e-1");
        headers.push_str(attribute::TYPE, "t");
        headers.push_str(attribute::CORRELATION_ID, "c-1");
        let record = Record {
            partition: TopicPartition::new("t", 2),
            offset: Offset(7),
            timestamp: Some("2026-11-23T08:00:00Z".parse().expect("a time")),
            key: Some("o-1".into()),
            value: Some("{\n}".into()),
            headers,
        };
        let output = Output {
            json: false,
            colour: false,
        };
        let mut out = Vec::new();

        write_text(&mut out, output, &record).expect("written");

        let line = String::from_utf8(out).expect("text");
        assert_eq!(
            line,
            "t/2@7 2026-11-23T08:00:00.000Z o-1 id=e-1 correlation=c-1 {\\n}\n"
        );
    }

    #[test]
    fn a_value_cannot_move_the_cursor() {
        assert_eq!(
            printable_bytes(b"\x1b[2J\xff\x07ok"),
            "\\u{1b}[2J\\xff\\u{7}ok"
        );
    }
}
