//! Who is to have which partition: as even as the subscriptions allow, moving as little as that needs.

use indexmap::IndexMap;
use uuid::Uuid;

use super::{ConsumerMember, Partitions, Subscribed};

/// Gives every member a new target. All partitions that somebody subscribes to have an owner then, and no partition could
/// move to a subscriber who has two less than its owner.
pub(super) fn spread(members: &mut IndexMap<String, ConsumerMember>, subscribed: &Subscribed) {
    let mut spread = Spread::keeping(members, subscribed);
    spread.give_out(subscribed);
    spread.level();
    for (member, target) in members.values_mut().zip(spread.targets) {
        member.target = target;
    }
}

/// Targets in the making, by the members' places.
struct Spread {
    /// Which topics each of them subscribes to.
    topics: Vec<Vec<Uuid>>,
    targets: Vec<Partitions>,
}

impl Spread {
    /// Begins with what everybody has, as far as it still exists and is still wanted.
    fn keeping(members: &IndexMap<String, ConsumerMember>, subscribed: &Subscribed) -> Self {
        let topics = members.values().map(|member| {
            let ids = member.topics.iter().filter_map(|name| subscribed.get(name));
            ids.map(|(id, _)| *id).collect::<Vec<_>>()
        });
        let topics: Vec<_> = topics.collect();
        let counts: Vec<_> = subscribed.values().copied().collect();
        let exists = |(topic, index): &(Uuid, i32)| {
            let mut counts = counts.iter();
            counts.any(|(id, count)| id == topic && index < count)
        };
        let targets = members.values().zip(&topics).map(|(member, topics)| {
            let kept = member.target.iter().copied();
            kept.filter(|partition| topics.contains(&partition.0) && exists(partition))
                .collect()
        });
        Self {
            targets: targets.collect(),
            topics,
        }
    }

    /// Gives every partition that has no owner to the subscriber who has the fewest.
    fn give_out(&mut self, subscribed: &Subscribed) {
        for (topic, count) in subscribed.values() {
            for index in 0..*count {
                let partition = (*topic, index);
                if self
                    .targets
                    .iter()
                    .any(|target| target.contains(&partition))
                {
                    continue;
                }
                if let Some(member) = self.poorest(*topic) {
                    self.targets[member].insert(partition);
                }
            }
        }
    }

    /// Moves partitions from those who have more to those who have at least two less. Each move makes the sum of squares
    /// smaller, so it ends.
    fn level(&mut self) {
        loop {
            let moves = (0..self.targets.len()).find_map(|from| {
                let mut own = self.targets[from].iter();
                own.find_map(|partition| {
                    let to = self.poorest(partition.0)?;
                    let fewer = self.targets[to].len() + 1 < self.targets[from].len();
                    fewer.then_some((from, to, *partition))
                })
            });
            let Some((from, to, partition)) = moves else {
                return;
            };
            self.targets[from].remove(&partition);
            self.targets[to].insert(partition);
        }
    }

    fn poorest(&self, topic: Uuid) -> Option<usize> {
        let subscribers =
            (0..self.topics.len()).filter(|member| self.topics[*member].contains(&topic));
        subscribers.min_by_key(|member| self.targets[*member].len())
    }
}
