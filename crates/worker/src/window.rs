//! Messages that took effect a moment ago, for strategies that keep no inbox.

use std::collections::{HashSet, VecDeque};

use longshore_event::Identity;

/// Identities remembered by default: enough for what a producer repeats at once, a few megabytes at most.
const CAPACITY: usize = 10_000;

/// The identities last committed, at most `capacity`; at the bound the oldest is forgotten.
#[derive(Debug)]
pub struct Window {
    capacity: usize,
    known: HashSet<Identity>,
    order: VecDeque<Identity>,
}

impl Window {
    /// Remembers `capacity` identities.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            known: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether the message is among them.
    pub fn contains(&self, identity: &Identity) -> bool {
        self.known.contains(identity)
    }

    /// Takes a message in that has taken effect.
    pub fn remember(&mut self, identity: Identity) {
        if !self.known.insert(identity.clone()) {
            return;
        }
        self.order.push_back(identity);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new(CAPACITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_forgets_the_oldest_at_its_bound() {
        let identity = |id: &str| Identity {
            source: "s".into(),
            id: id.into(),
        };
        let mut window = Window::new(2);
        for id in ["1", "2", "2", "3"] {
            window.remember(identity(id));
        }
        assert!(!window.contains(&identity("1")));
        assert!(window.contains(&identity("2")));
        assert!(window.contains(&identity("3")));
    }
}
