//! Room for parked lanes in memory: one bound for those that wait for their next run, and one of the same size for those
//! that are held. What is held is freed by hand alone, and must not keep out what is to be tried again.

use crate::ParkedState;

/// The parked lanes in memory, counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Lanes of each kind. At the bound no more messages are taken in.
    most: usize,
    waiting: usize,
    held: usize,
}

impl Room {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            waiting: 0,
            held: 0,
        }
    }

    /// The same room with nothing in it: for lanes that are read once more.
    pub(crate) fn emptied(self) -> Self {
        Self::new(self.most)
    }

    /// How many more lanes fit, if they are of the right kinds.
    pub(crate) fn left(&self) -> usize {
        let left = |taken| self.most.saturating_sub(taken);
        left(self.waiting).saturating_add(left(self.held))
    }

    /// Takes room for a lane, if there is any.
    pub(crate) fn offer(&mut self, state: ParkedState) -> bool {
        let fits = *self.count(state) < self.most;
        if fits {
            self.takes(state);
        }
        fits
    }

    /// A lane is in memory, whether or not there was room for it.
    pub(crate) fn takes(&mut self, state: ParkedState) {
        *self.count(state) += 1;
    }

    pub(crate) fn gives_back(&mut self, state: ParkedState) {
        *self.count(state) -= 1;
    }

    /// The first message of a lane is another one, or waits for something else now.
    pub(crate) fn changes(&mut self, from: ParkedState, to: ParkedState) {
        self.gives_back(from);
        self.takes(to);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full_of_waiting() || self.held >= self.most
    }

    pub(crate) fn is_full_of_waiting(&self) -> bool {
        self.waiting >= self.most
    }

    pub(crate) fn is_half_free_of_waiting(&self) -> bool {
        self.waiting <= self.most / 2
    }

    pub(crate) fn is_half_free_of_held(&self) -> bool {
        self.held <= self.most / 2
    }

    fn count(&mut self, state: ParkedState) -> &mut usize {
        match state {
            ParkedState::Waiting => &mut self.waiting,
            ParkedState::Held => &mut self.held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_takes_no_room_of_what_waits() {
        let mut room = Room::new(1);
        assert!(room.offer(ParkedState::Held));
        assert!(!room.offer(ParkedState::Held));
        assert!(room.is_full() && !room.is_full_of_waiting());
        assert_eq!(room.left(), 1);

        assert!(room.offer(ParkedState::Waiting));
        room.changes(ParkedState::Held, ParkedState::Waiting);
        room.gives_back(ParkedState::Waiting);
        assert!(!room.offer(ParkedState::Waiting));
        assert!(room.offer(ParkedState::Held));
    }
}
