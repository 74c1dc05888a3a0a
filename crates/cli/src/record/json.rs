//! A record as one line of JSON that loses nothing.
//!
//! Bytes that are UTF-8 become a string; others appear in base64 under another name, so that the two are never
//! confused. A value that is JSON is put in as it is; `tombstone` is true if there is none.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use longshore_event::Record;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Writes `record` and a line feed.
pub(crate) fn write_json(out: &mut impl Write, record: &Record) -> io::Result<()> {
    write_json_with(out, record, &[])
}

/// Writes `record` with more about it, and a line feed.
pub(crate) fn write_json_with(
    out: &mut impl Write,
    record: &Record,
    more: &[(&str, Value)],
) -> io::Result<()> {
    out.write_all(b"{\"topic\":")?;
    write_string(out, &record.partition.topic)?;
    let (partition, offset) = (record.partition.partition, record.offset);
    write!(out, ",\"partition\":{partition},\"offset\":{offset}")?;
    if let Some(time) = record.timestamp {
        write!(out, ",\"timestamp\":\"{time}\"")?;
    }
    match &record.key {
        Some(key) => write_bytes(out, ",\"key", "", key)?,
        None => out.write_all(b",\"key\":null")?,
    }
    out.write_all(b",\"headers\":[")?;
    for (index, (name, value)) in record.headers.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}{{\"name\":")?;
        write_string(out, name)?;
        match value {
            Some(value) => write_bytes(out, ",\"value", "", value)?,
            None => out.write_all(b",\"value\":null")?,
        }
        out.write_all(b"}")?;
    }
    out.write_all(b"]")?;
    write_value(out, record.value.as_deref())?;
    for (name, value) in more {
        write!(out, ",\"{name}\":{value}")?;
    }
    out.write_all(b"}\n")
}

fn write_value(out: &mut impl Write, value: Option<&[u8]>) -> io::Result<()> {
    let Some(value) = value else {
        return out.write_all(b",\"tombstone\":true");
    };
    if serde_json::from_slice::<IgnoredAny>(value).is_err() {
        return write_bytes(out, ",\"value", "Text", value);
    }
    out.write_all(b",\"value\":")?;
    // A line feed in JSON is blank space between tokens: in a string it would be escaped.
    for part in value.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.write_all(part)?;
    }
    Ok(())
}

/// `name` and `suffix` together name bytes that are text; otherwise the suffix is `Base64`.
fn write_bytes(out: &mut impl Write, name: &str, suffix: &str, bytes: &[u8]) -> io::Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            write!(out, "{name}{suffix}\":")?;
            write_string(out, text)
        }
        Err(_) => write!(out, "{name}Base64\":\"{}\"", STANDARD.encode(bytes)),
    }
}

fn write_string(out: &mut impl Write, text: &str) -> io::Result<()> {
    serde_json::to_writer(out, text).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_event::{Headers, Offset, TopicPartition};
    use serde_json::json;

    fn line(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> Value {
        let mut headers = Headers::new();
        headers.push_str("ce_id", "1");
        headers.push("raw", Some(&[0xff]));
        headers.push("null", None);
        let record = Record {
            partition: TopicPartition::new("t", 2),
            offset: Offset(7),
            timestamp: Some("2026-11-23T08:00:00Z".parse().expect("a time")),
            key: key.map(Into::into),
            value: value.map(Into::into),
            headers,
        };
        let mut out = Vec::new();
        write_json(&mut out, &record).expect("written");
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn a_record_is_one_line_with_everything() {
        let found = line(Some(b"o-1"), Some(b"{\"a\":\r\n [1.0]}"));
        let expected = json!({
            "topic": "t", "partition": 2, "offset": 7, "timestamp": "2026-11-23T08:00:00Z", "key": "o-1",
            "headers": [{"name": "ce_id", "value": "1"}, {"name": "raw", "valueBase64": "/w=="}, {"name": "null", "value": null}],
            "value": {"a": [1.0]}
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn text_bytes_empty_and_nothing_are_told_apart() {
        assert_eq!(line(None, Some(b"no json"))["valueText"], "no json");
        assert_eq!(line(None, Some(b""))["valueText"], "");
        assert_eq!(line(None, Some(b"\xff\x00"))["valueBase64"], "/wA=");
        assert_eq!(line(None, Some(b"\"text\""))["value"], "text");
        let tombstone = line(Some(b"\xfe"), None);
        assert_eq!(tombstone["tombstone"], true);
        assert_eq!(tombstone.get("value"), None);
        assert_eq!(tombstone["keyBase64"], "/g==");
        assert_eq!(line(None, None)["key"], Value::Null);
    }
}
