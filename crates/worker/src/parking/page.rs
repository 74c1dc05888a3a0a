//! How much of a parked lane is read at once.

/// Messages on the largest page.
pub(crate) const LARGEST: usize = 8;

/// Messages of a lane that are read from the store at once, and are in memory while it is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageSize(usize);

impl PageSize {
    /// The message that failed, and the next, which tells whether the cause is gone: as often as it is not, more would be
    /// read in vain.
    pub(super) const FIRST: Self = Self(2);

    /// All of a page went through.
    pub(super) fn grown(self) -> Self {
        Self((self.0 * 2).min(LARGEST))
    }

    pub(super) fn messages(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use longshore_event::{Headers, Identity, Offset, Position, Record, TopicPartition};

    use crate::lanes::LaneKey;
    use crate::parking::{Page, Parking, Which};
    use crate::{ParkedRow, ParkedState};

    #[test]
    fn pages_grow_while_all_goes_well_and_begin_anew_when_it_does_not() {
        let mut parking = Parking::new(10, 100, Arc::from("redrive"));
        let key = LaneKey::Key("k".into());
        let park = |parking: &mut Parking| {
            parking.park(key.clone(), &row());
            parking.settled(&key, Which::Head);
        };
        park(&mut parking);
        let sizes = [(); 4].map(|()| drain_page(&mut parking, &key));
        assert_eq!(sizes, [2, 4, 8, 8]);
        park(&mut parking);
        assert_eq!(drain_page(&mut parking, &key), 2);
    }

    /// Reads a page that is full, lets all of it through, and says how many messages it had.
    fn drain_page(parking: &mut Parking, key: &LaneKey) -> usize {
        let now = Timestamp::now();
        let read = parking.take_due(now, 1).expect("due");
        let rows = vec![row(); read.limit];
        let page = parking.loaded(key, read.reading, rows, true, now, now);
        let Page::Drain(stay, rows) = page else {
            panic!("{page:?}");
        };
        for _ in &rows {
            parking.drained_one(key, stay);
        }
        rows.len()
    }

    fn row() -> ParkedRow {
        let position = Position {
            partition: TopicPartition::new("orders", 0),
            offset: Offset(1),
        };
        ParkedRow {
            sequence: 1,
            lane: "k".into(),
            identity: Identity {
                source: "test".into(),
                id: "1".into(),
            },
            record: Record {
                partition: position.partition.clone(),
                offset: position.offset,
                timestamp: None,
                key: Some("k".into()),
                value: None,
                headers: Headers::default(),
            },
            position,
            redrive: 0,
            state: ParkedState::Waiting,
            attempts: 1,
            due_at: Timestamp::UNIX_EPOCH,
            failure: None,
        }
    }
}
