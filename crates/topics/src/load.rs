//! Reads a directory of topic files; all that is wrong with them is told at once, each with its file and line.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use longshore_event::redrive_topic;

use crate::TopicSpec;
use crate::document::{self, Fault};
use crate::name::collision_name;

/// A directory of topic files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The directory or a file in it cannot be read.
    #[error("cannot read {}; --topics-dir names the directory of the topic files", .path.display())]
    Read {
        /// The directory or file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The directory has no topic file.
    #[error("there is no *.toml in {}; --topics-dir names the directory of the topic files", .dir.display())]
    Empty {
        /// The directory.
        dir: PathBuf,
    },
    /// Files are not what they should be.
    #[error("{}", lines(.0))]
    Invalid(Vec<SpecFault>),
}

/// What is wrong in one place of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecFault {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl fmt::Display for SpecFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.reason)
    }
}

impl TopicSpec {
    /// Reads every `*.toml` in `dir`, sorted by file name.
    ///
    /// # Errors
    /// [`LoadError`]; [`LoadError::Invalid`] tells all faults of all files.
    pub fn load_dir(dir: impl AsRef<Path>) -> Result<Vec<Self>, LoadError> {
        let dir = dir.as_ref();
        let mut specs = Vec::new();
        let mut faults = Vec::new();
        for file in topic_files(dir)? {
            let text = fs::read_to_string(&file).map_err(|source| read_error(&file, source))?;
            match document::parse(&text, dir, &file) {
                Ok(spec) => specs.push(spec),
                Err(found) => {
                    faults.extend(found.into_iter().map(|fault| placed(fault, &file, &text)))
                }
            }
        }
        if specs.is_empty() && faults.is_empty() {
            return Err(LoadError::Empty { dir: dir.into() });
        }
        faults.extend(collisions(&specs));
        if faults.is_empty() {
            Ok(specs)
        } else {
            Err(LoadError::Invalid(faults))
        }
    }
}

fn topic_files(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|source| read_error(dir, source))?;
    let mut files: Vec<PathBuf> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    Ok(files)
}

/// Topics that are named twice, or so alike that Kafka refuses one of them. A group may be named in several files: it
/// has one redrive topic.
fn collisions(specs: &[TopicSpec]) -> Vec<SpecFault> {
    let mut seen: HashMap<String, (String, &TopicSpec, bool)> = HashMap::new();
    let mut faults = Vec::new();
    for spec in specs {
        let own = spec.topics().into_iter().map(|topic| (topic.name, false));
        let groups = spec.redrive_groups.iter();
        let redrives = groups.map(|group| (redrive_topic(group).to_string(), true));
        for (name, is_redrive) in own.chain(redrives) {
            let Some((other, first, also_redrive)) = seen.get(&collision_name(&name)) else {
                seen.insert(collision_name(&name), (name, spec, is_redrive));
                continue;
            };
            if *other == name && is_redrive && *also_redrive {
                continue;
            }
            let place = first.file.display();
            let reason = if *other == name {
                format!("topic {other} is already described by {place}")
            } else {
                format!(
                    "topic {name} collides with {other} of {place}: Kafka's metrics do not tell '.' from '_'"
                )
            };
            faults.push(SpecFault {
                file: spec.file.clone(),
                line: 1,
                reason,
            });
        }
    }
    faults
}

fn placed(fault: Fault, file: &Path, text: &str) -> SpecFault {
    let start = fault.span.map_or(0, |span| span.start).min(text.len());
    let before = &text.as_bytes()[..start];
    SpecFault {
        file: file.to_owned(),
        line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
        reason: fault.reason,
    }
}

fn read_error(path: &Path, source: io::Error) -> LoadError {
    let path = path.to_owned();
    LoadError::Read { path, source }
}

fn lines(faults: &[SpecFault]) -> String {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
