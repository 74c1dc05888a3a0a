//! The group: its instances, and who owns which partition. A partition has one owner at most; who was cut off does not
//! know that it is not the one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_event::TopicPartition;
use tokio::task::JoinHandle;

use super::instance::Instance;
use super::journal::{Journal, Life, What};
use super::line::Condition;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    /// This member is asked to let it go.
    Moving(Life),
    Member(Life),
}

/// Who owns what; moves under way change it.
type Owners = Arc<Mutex<BTreeMap<TopicPartition, Owner>>>;

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) instances: Vec<Instance>,
    journal: Journal,
    owners: Owners,
    moves: Vec<JoinHandle<()>>,
    pub(super) complaints: Vec<String>,
}

impl Cluster {
    pub(super) fn new(partitions: Vec<TopicPartition>, journal: &Journal) -> Self {
        let owners = partitions
            .into_iter()
            .map(|partition| (partition, Owner::Nobody));
        Self {
            instances: Vec::new(),
            journal: journal.clone(),
            owners: Arc::new(Mutex::new(owners.collect())),
            moves: Vec::new(),
            complaints: Vec::new(),
        }
    }

    /// Gives partitions that nobody owns to members that are well.
    pub(super) fn assign_free(&mut self, random: &mut fastrand::Rng) {
        let well: Vec<&Instance> = self.instances.iter().filter(|one| one.is_well()).collect();
        if well.is_empty() {
            return;
        }
        for (partition, owner) in lock(&self.owners).iter_mut() {
            if *owner == Owner::Nobody {
                let member = well[random.usize(..well.len())];
                *owner = Owner::Member(member.line.life);
                self.journal
                    .note(Some(member.line.life), format!("is assigned {partition}"));
                member.control.assign(std::slice::from_ref(partition));
            }
        }
    }

    /// Takes a partition from its owner in good order, if it has one that is well.
    pub(super) fn start_move(&mut self, random: &mut fastrand::Rng) {
        let within = Duration::from_millis(random.u64(..4_000));
        let mut owners = lock(&self.owners);
        let nth = random.usize(..owners.len());
        let moving: Vec<Owner> = owners.values().copied().collect();
        let Some((partition, owner)) = owners.iter_mut().nth(nth) else {
            return;
        };
        let Owner::Member(life) = *owner else { return };
        if moving.contains(&Owner::Moving(life)) {
            // A source waits for one revocation before it tells of the next.
            return;
        }
        let Some(from) = self
            .instances
            .iter()
            .find(|one| one.line.life == life && one.is_well())
        else {
            return;
        };
        *owner = Owner::Moving(life);
        self.journal.note(
            Some(life),
            format!("is to let {partition} go within {within:?}"),
        );
        let (control, partition, journal) = (
            from.control.clone(),
            partition.clone(),
            self.journal.clone(),
        );
        drop(owners);
        let owners = self.owners.clone();
        self.moves.push(tokio::spawn(async move {
            let asked = tokio::time::Instant::now();
            let answer = control
                .revoke(std::slice::from_ref(&partition), within)
                .await;
            if answer.is_some() && asked.elapsed() < within {
                journal.write(Some(life), What::LetGo(partition.clone()));
            }
            lock(&owners).insert(partition, Owner::Nobody);
        }));
    }

    /// Takes every partition from a member, and tells it at once.
    pub(super) fn lose(&mut self, index: usize) {
        let lost = self.disown(index);
        let one = &self.instances[index];
        for partition in &lost {
            self.journal
                .write(Some(one.line.life), What::Lost(partition.clone()));
        }
        one.control.lose(&lost);
    }

    /// The group gives a member up that does not know it: it is cut off from the brokers, or its process stands still.
    pub(super) fn give_up(&mut self, index: usize, stopped: bool) {
        let lost = self.disown(index);
        let one = &mut self.instances[index];
        one.control.disown(&lost);
        one.control.unavailable("cut off");
        one.cut_off = true;
        let how = if stopped {
            "stands still"
        } else {
            "is cut off"
        };
        self.journal.fault(
            Some(one.line.life),
            format!("{how}, and does not know that it lost {}", list(&lost)),
        );
        if stopped {
            one.line.become_(Condition::Stopped);
        }
        one.believes.extend(lost);
    }

    /// The member comes back, and learns what it has lost.
    pub(super) fn come_back(&mut self, index: usize) {
        let one = &mut self.instances[index];
        if !one.cut_off {
            return;
        }
        one.cut_off = false;
        self.journal.note(Some(one.line.life), "comes back");
        one.line.become_(Condition::Running);
        for partition in &one.believes {
            self.journal
                .write(Some(one.line.life), What::Lost(partition.clone()));
        }
        one.control.lose(&one.believes);
        one.control.available();
    }

    /// Forgets who has died or left; the group notices, and their partitions are free.
    pub(super) async fn reap(&mut self) {
        let mut index = 0;
        while index < self.instances.len() {
            if !self.instances[index].is_over() {
                index += 1;
                continue;
            }
            let lost = self.disown(index);
            let one = self.instances.remove(index);
            one.control.disown(&lost);
            self.journal.note(
                Some(one.line.life),
                format!("is over; {} free", list(&lost)),
            );
            if let Err(complaint) = one.end().await {
                self.complaints.push(complaint);
            }
        }
    }

    pub(super) async fn finish_moves(&mut self) {
        for one in self.moves.drain(..) {
            if let Err(panic) = one.await {
                self.complaints.push(format!("a move panicked: {panic}"));
            }
        }
    }

    fn disown(&mut self, index: usize) -> Vec<TopicPartition> {
        let life = self.instances[index].line.life;
        let mut lost = Vec::new();
        for (partition, owner) in lock(&self.owners).iter_mut() {
            if *owner == Owner::Member(life) {
                *owner = Owner::Nobody;
                lost.push(partition.clone());
            }
        }
        lost
    }
}

fn lock(owners: &Owners) -> MutexGuard<'_, BTreeMap<TopicPartition, Owner>> {
    owners.lock().unwrap_or_else(PoisonError::into_inner)
}

fn list(partitions: &[TopicPartition]) -> String {
    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    names.join(" ")
}
