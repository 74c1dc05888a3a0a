//! Edits of values on their way: at a place in the JSON, or by a command.
//!
//! What is not edited stays byte for byte as it is: a number with more digits than a `f64` holds is no casualty.

use std::fmt;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use longshore_event::Limits;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdout, Command};

/// How long an editing command may take for one value.
const COMMAND: Duration = Duration::from_secs(30);
/// Characters of what a command says about its failure.
const MAX_SAID_CHARS: usize = 300;

/// All edits of a run: those at a place first, then the command.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    pub(super) edits: Vec<Edit>,
    pub(super) command: Option<String>,
}

/// A JSON value, and the place it is put to (a JSON Pointer, RFC 6901). A member of an object may be new; `-` appends to
/// a list.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    /// As it was written, for the audit.
    text: String,
    path: Vec<String>,
    value: Box<RawValue>,
}

impl Edits {
    pub(super) fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.command.is_none()
    }

    /// The new value; `None` if it is as it was.
    ///
    /// # Errors
    /// A sentence that says why this value cannot be edited.
    pub(super) async fn apply(&self, old: Option<&Bytes>) -> Result<Option<Bytes>, String> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut new = old.cloned();
        for edit in &self.edits {
            new = Some(edit.apply(new.as_deref())?);
        }
        if let Some(command) = &self.command {
            new = Some(piped(command, new.as_deref().unwrap_or_default()).await?);
        }
        let new = new.filter(|new| old != Some(new));
        within_limit(new.as_ref().map_or(0, Bytes::len))?;
        Ok(new)
    }
}

impl Edit {
    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn apply(&self, old: Option<&[u8]>) -> Result<Bytes, String> {
        let edited = match old {
            None if self.path.is_empty() => self.value.to_owned(),
            None => return Err("it has no value to edit (a tombstone)".to_owned()),
            Some(_) if self.path.is_empty() => self.value.to_owned(),
            Some(old) => {
                let raw: &RawValue = serde_json::from_slice(old)
                    .map_err(|error| format!("the value is no JSON: {error}"))?;
                put(raw, &self.path, &self.value)?
            }
        };
        Ok(Bytes::from(String::from(Box::<str>::from(edited))))
    }
}

impl FromStr for Edit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "write POINTER=JSON, such as /items/0/quantity=1 or '/userId=\"u-7\"'".to_owned();
        let (pointer, json) = text.split_once('=').ok_or_else(wrong)?;
        let mut path = pointer.split('/');
        // The empty pointer is the whole value; any other begins with a slash.
        if path.next() != Some("") {
            return Err(wrong());
        }
        let mut escaped = pointer.split('~').skip(1);
        if escaped.any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(format!(
                "{pointer} is no JSON Pointer: write ~0 for ~, and ~1 for /"
            ));
        }
        let path = path.map(|part| part.replace("~1", "/").replace("~0", "~"));
        let value = serde_json::from_str(json).map_err(|error| {
            format!(
                "{json:?} is no JSON ({error}); text stands in double quotes: '{pointer}=\"text\"'"
            )
        })?;
        Ok(Self {
            text: text.to_owned(),
            path: path.collect(),
            value,
        })
    }
}

/// `raw` with `value` at the end of `path`.
fn put(raw: &RawValue, path: &[String], value: &RawValue) -> Result<Box<RawValue>, String> {
    let Some((part, rest)) = path.split_first() else {
        return Ok(value.to_owned());
    };
    let nothing = || format!("there is nothing at {part:?}");
    let text = raw.get().trim_start();
    let edited = if text.starts_with('{') {
        let mut members: Members = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match members.0.iter_mut().rev().find(|(name, _)| name == part) {
            Some((_, member)) => *member = put(member, rest, value)?,
            None if rest.is_empty() => members.0.push((part.clone(), value.to_owned())),
            None => return Err(nothing()),
        }
        serde_json::value::to_raw_value(&members)
    } else if text.starts_with('[') {
        let mut items: Vec<Box<RawValue>> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        if part == "-" && rest.is_empty() {
            items.push(value.to_owned());
        } else {
            let index = index(part).ok_or_else(|| {
                format!("{part:?} is no index of a list: write 0, 1, … without a sign or zeros before it")
            })?;
            let item = items.get_mut(index).ok_or_else(nothing)?;
            *item = put(item, rest, value)?;
        }
        serde_json::value::to_raw_value(&items)
    } else {
        return Err(nothing());
    };
    edited.map_err(|error| error.to_string())
}

/// As RFC 6901 writes it: a sign or zeros before it would make one place have several names.
fn index(part: &str) -> Option<usize> {
    let is_index = part == "0" || !part.starts_with(['0', '+']);
    part.parse().ok().filter(|_| is_index)
}

/// The members of an object in their order, untouched.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// What `command` makes of `value`. A line feed at its end, which most tools add, is taken away if the value had none.
async fn piped(command: &str, value: &[u8]) -> Result<Bytes, String> {
    let mut child = Command::new("sh");
    child.args(["-c", command]).kill_on_drop(true);
    let child = child
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let cannot = |error: std::io::Error| format!("the editing command cannot be run: {error}");
    let mut child = child.spawn().map_err(cannot)?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input closes the pipe early, and may.
            stdin.write_all(value).await.ok();
        }
        Ok(())
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async {
        let ended = async { child.wait().await.map_err(cannot) };
        tokio::try_join!(ended, new_value(stdout), said(stderr), feed)
    };
    let (status, mut new, said, ()) = match tokio::time::timeout(COMMAND, all).await {
        Ok(all) => all?,
        Err(_) => {
            return Err(format!(
                "the editing command took longer than {} s",
                COMMAND.as_secs()
            ));
        }
    };
    if !status.success() {
        return Err(format!("the editing command failed ({status}): {said}"));
    }
    if new.last() == Some(&b'\n') && value.last() != Some(&b'\n') {
        new.pop();
    }
    if new.is_empty() {
        return Err("the editing command wrote nothing".to_owned());
    }
    Ok(new.into())
}

/// What the command writes, which is not read on once it is too large: who writes without end must not fill the memory.
async fn new_value(stdout: Option<ChildStdout>) -> Result<Vec<u8>, String> {
    let mut new = Vec::new();
    if let Some(stdout) = stdout {
        let mut bounded = stdout.take(max_value_bytes() as u64 + 1);
        let read = bounded.read_to_end(&mut new).await;
        read.map_err(|error| format!("what the editing command writes cannot be read: {error}"))?;
    }
    // The line feed at its end may be none of the value's.
    let bytes = new.len() - usize::from(new.last() == Some(&b'\n'));
    within_limit(bytes).map(|()| new)
}

/// The beginning of what the command says; the rest is read and left, so that it can go on.
async fn said(stderr: Option<ChildStderr>) -> Result<String, String> {
    let mut said = Vec::new();
    if let Some(mut stderr) = stderr {
        let mut bounded = (&mut stderr).take(MAX_SAID_CHARS as u64 * 4);
        bounded.read_to_end(&mut said).await.ok();
        tokio::io::copy(&mut stderr, &mut tokio::io::sink())
            .await
            .ok();
    }
    let said = String::from_utf8_lossy(&said);
    Ok(said.trim().chars().take(MAX_SAID_CHARS).collect())
}

/// A worker takes no larger value: the letter would be dead again.
fn within_limit(bytes: usize) -> Result<(), String> {
    let allowed = max_value_bytes();
    match bytes <= allowed {
        true => Ok(()),
        false => Err(format!(
            "the edited value has more than the {allowed} bytes that workers take"
        )),
    }
}

fn max_value_bytes() -> usize {
    Limits::default().value_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(value: &str, edits: &[&str]) -> Result<String, String> {
        let mut value = Bytes::copy_from_slice(value.as_bytes());
        for edit in edits {
            value = edit.parse::<Edit>()?.apply(Some(&value))?;
        }
        Ok(String::from_utf8(value.to_vec()).expect("UTF-8"))
    }

    #[test]
    fn a_value_is_put_where_the_pointer_leads_and_the_rest_stays_as_it_is() {
        let value = r#"{"big":123456789012345678901234567890,"f":1.10,"items":[{"n":1},{"n":2}],"a/b":{"~":0}}"#;
        for (edit, expected) in [
            (
                "/f=2",
                r#"{"big":123456789012345678901234567890,"f":2,"items":[{"n":1},{"n":2}],"a/b":{"~":0}}"#,
            ),
            (
                "/items/1/n=9",
                r#"{"big":123456789012345678901234567890,"f":1.10,"items":[{"n":1},{"n":9}],"a/b":{"~":0}}"#,
            ),
            (
                "/items/-=null",
                r#"{"big":123456789012345678901234567890,"f":1.10,"items":[{"n":1},{"n":2},null],"a/b":{"~":0}}"#,
            ),
            (
                "/a~1b/~0=\"x=y\"",
                r#"{"big":123456789012345678901234567890,"f":1.10,"items":[{"n":1},{"n":2}],"a/b":{"~":"x=y"}}"#,
            ),
            (
                "/new=true",
                r#"{"big":123456789012345678901234567890,"f":1.10,"items":[{"n":1},{"n":2}],"a/b":{"~":0},"new":true}"#,
            ),
            ("=[]", "[]"),
        ] {
            assert_eq!(edited(value, &[edit]).as_deref(), Ok(expected), "{edit}");
        }
        assert_eq!(
            edited("{}", &["/a={}", "/a/b=1"]).as_deref(),
            Ok(r#"{"a":{"b":1}}"#)
        );
    }

    #[test]
    fn a_place_that_is_not_there_is_an_error_and_not_made_up() {
        for (value, edit) in [
            (r#"{"a":1}"#, "/b/c=1"),
            (r#"{"a":1}"#, "/a/b=1"),
            ("[1]", "/1=1"),
            ("[1]", "/x=1"),
            ("[1]", "/00=1"),
            ("[1]", "/+0=1"),
            ("[1]", "/=1"),
            ("[1]", "/-/a=1"),
            ("garbage", "/a=1"),
        ] {
            assert!(edited(value, &[edit]).is_err(), "{edit} of {value}");
        }
        let edit: Edit = "/a=1".parse().expect("an edit");
        assert!(edit.apply(None).is_err(), "a tombstone");
    }

    #[test]
    fn what_is_no_pointer_and_json_is_refused() {
        for text in ["", "/a", "a=1", "/a=text", "/a=", "/~=1", "/~2=1"] {
            assert!(text.parse::<Edit>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_command_edits_and_says_why_it_cannot() {
        let with = |command: &str| Edits {
            edits: Vec::new(),
            command: Some(command.to_owned()),
        };
        let old = Bytes::from_static(b"{\"a\":1}");
        let new = with("sed s/1/2/; echo").apply(Some(&old)).await;
        assert_eq!(new, Ok(Some("{\"a\":2}".into())));
        assert_eq!(with("cat").apply(Some(&old)).await, Ok(None), "as it was");
        let error = with("echo no such field >&2; exit 3")
            .apply(Some(&old))
            .await;
        assert!(error.expect_err("failed").contains("no such field"));
        let error = with("yes").apply(Some(&old)).await.expect_err("endless");
        assert!(error.contains("more than the 524288 bytes"), "{error}");
        let much = with("head -c 1000000 /dev/zero >&2; exit 3")
            .apply(Some(&old))
            .await;
        assert!(much.expect_err("failed").contains("failed"));
        let most = with("head -c 524288 /dev/zero; echo")
            .apply(Some(&old))
            .await;
        assert_eq!(most.expect("fits").map(|new| new.len()), Some(524_288));
        assert!(
            with("true").apply(Some(&old)).await.is_err(),
            "nothing written"
        );
    }
}
