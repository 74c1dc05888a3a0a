//! Ids of idempotent producers: handed out from blocks that are reserved on disk first, so that no id
//! is ever used twice, whatever happens in between.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::durable;
use crate::sync::lock;

/// Ids reserved by one write; a restart skips what is left of the block.
const BLOCK: i64 = 1_000;

/// Hands out producer ids.
#[derive(Debug)]
pub(crate) struct ProducerIds {
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: i64,
    reserved_below: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    reserved_below: i64,
}

impl ProducerIds {
    /// Goes on behind everything that was ever reserved in `file`.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub(crate) fn open(file: PathBuf) -> io::Result<Self> {
        let stored: Option<Stored> = durable::read_json(&file)?;
        let reserved_below = stored.map_or(0, |stored| stored.reserved_below);
        Ok(Self {
            file,
            state: Mutex::new(State {
                next: reserved_below,
                reserved_below,
            }),
        })
    }

    /// An id that nobody has had.
    ///
    /// # Errors
    ///
    /// The next block cannot be reserved on disk.
    pub(crate) fn next(&self) -> io::Result<i64> {
        let mut state = lock(&self.state);
        if state.next == state.reserved_below {
            let reserved_below = state.next + BLOCK;
            durable::replace_json(&self.file, &Stored { reserved_below })?;
            state.reserved_below = reserved_below;
        }
        let id = state.next;
        state.next += 1;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_used_twice_across_restarts_and_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ids.json");
        let mut seen = std::collections::HashSet::new();

        for _restart in 0..3 {
            let ids = ProducerIds::open(file.clone()).unwrap();
            for _ in 0..BLOCK + 5 {
                assert!(seen.insert(ids.next().unwrap()));
            }
        }
    }
}
