//! A plan as people read it: `+` what comes, `~` what changes, `-` what goes.

use std::collections::BTreeSet;
use std::fmt;

use crate::spec::config;
use crate::{Change, ConfigChange, Plan, Retention};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            write!(f, "{change}")?;
        }
        for note in &self.notes {
            writeln!(f, "! {note}")?;
        }
        if self.is_empty() {
            return f.write_str("Nothing to do: every topic is as its file says.");
        }
        write!(f, "Plan: {}", self.summary())
    }
}

impl Plan {
    /// `2 to create, 1 to change, 0 to replace, 0 to delete`: topics, each counted once.
    pub fn summary(&self) -> String {
        let count = |wanted: fn(&Change) -> bool| {
            let changes = self.changes.iter().filter(|change| wanted(change));
            changes.map(Change::topic).collect::<BTreeSet<_>>().len()
        };
        format!(
            "{} to create, {} to change, {} to replace, {} to delete",
            count(|change| matches!(change, Change::Create { .. })),
            count(|change| matches!(change, Change::Grow { .. } | Change::Configure { .. })),
            count(|change| matches!(change, Change::Replace { .. })),
            count(|change| matches!(change, Change::Delete { .. })),
        )
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create {
                topic,
                partitions,
                replication,
                configs,
            } => {
                writeln!(f, "+ {topic}")?;
                writeln!(f, "    + partitions = {partitions}")?;
                if let Some(replication) = replication {
                    writeln!(f, "    + replication = {replication}")?;
                }
                for (name, value) in configs {
                    writeln!(f, "    + {name} = {}", shown(name, value))?;
                }
            }
            Self::Grow { topic, from, to } => {
                writeln!(f, "~ {topic}\n    ~ partitions = {from} -> {to}")?;
            }
            Self::Configure { topic, configs } => {
                writeln!(f, "~ {topic}")?;
                for change in configs {
                    writeln!(f, "    {change}")?;
                }
            }
            Self::Replace {
                topic, from, to, ..
            } => {
                writeln!(f, "-/+ {topic}\n    ~ partitions = {from} -> {to}")?;
            }
            Self::Delete { topic } => writeln!(f, "- {topic}")?,
        }
        for warning in self.warnings() {
            writeln!(f, "    ! {warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfigChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match (&self.from, &self.to) {
            (None, Some(to)) => write!(f, "+ {name} = {}", shown(name, to)),
            (Some(from), None) => write!(f, "- {name} = {} -> (default)", shown(name, from)),
            (from, to) => {
                let text = |value: &Option<String>| {
                    value
                        .as_deref()
                        .map_or("(default)".into(), |value| shown(name, value))
                };
                write!(f, "~ {name} = {} -> {}", text(from), text(to))
            }
        }
    }
}

/// Milliseconds are hard to read: the value with what it means.
fn shown(name: &str, value: &str) -> String {
    match Retention::from_config(value) {
        Some(retention) if name == config::RETENTION => format!("{value} ({retention})"),
        _ => value.to_owned(),
    }
}
