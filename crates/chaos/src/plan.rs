//! What is disturbed when, drawn from a seed: the same seed and arguments give the same plan.

use std::fmt;
use std::time::Duration;

use crate::network::Side;

/// Everything runs undisturbed this long, so that the workers have joined their group.
const CALM: Duration = Duration::from_secs(4);

/// What Kafka takes to be of use again after it was started.
const KAFKA_STARTS: Duration = Duration::from_secs(12);

/// Disturbances in the order in which they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When it begins, from the beginning of the run.
    pub(crate) at: Duration,
    /// How long it lasts, at least.
    pub(crate) lasts: Duration,
    pub(crate) disturbance: Disturbance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// Kill a worker with -9, and start it again at the end.
    Kill { worker: usize },
    /// Stop a worker, and wake it when its partitions are others'.
    Stop { worker: usize },
    /// End Kafka, and start it again at the end.
    Kafka(Way),
    /// End the database, and start it again at the end.
    Database(Way),
    /// Cut a worker, or all of them, off from one side or both, and heal it at the end.
    Cut {
        worker: Option<usize>,
        side: Option<Side>,
    },
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    InGoodOrder,
    Killed,
}

/// What there is to be disturbed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets {
    pub(crate) workers: usize,
    pub(crate) network: bool,
    pub(crate) database: bool,
}

/// A kind of disturbance, before it is drawn whom it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kill,
    Stop,
    Kafka,
    Database,
    Cut,
}

impl Plan {
    /// Draws one. Every kind of disturbance comes once before any comes more often than its share, so that a short
    /// plan has all of them.
    pub(crate) fn draw(seed: u64, lasts: Duration, targets: Targets) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut steps: Vec<Step> = Vec::new();
        let mut bag = Vec::new();
        let mut at = CALM;
        while at < lasts {
            if bag.is_empty() {
                bag = shuffled_bag(&mut random, targets);
            }
            // There are kills in every bag.
            let Some(kind) = bag.pop() else { break };
            let step = Step {
                at,
                lasts: milliseconds(&mut random, kind.lasts()),
                disturbance: kind.disturbance(&mut random, targets),
            };
            if steps.iter().any(|other| other.meets(&step)) {
                // Its turn comes later.
                bag.insert(0, kind);
            } else if step.ends() <= lasts {
                steps.push(step);
            }
            at += milliseconds(&mut random, (500, 3_500));
        }
        Self { steps }
    }
}

impl Step {
    fn ends(&self) -> Duration {
        self.at + self.lasts
    }

    /// Whether it is under way when the later one begins, and would get in its way.
    fn meets(&self, later: &Self) -> bool {
        use Disturbance::{Cut, Database, Kafka, Kill, Stop};
        let conflict = match (self.disturbance, later.disturbance) {
            (
                Kill { worker } | Stop { worker },
                Kill { worker: other } | Stop { worker: other },
            ) => worker == other,
            // A stopped worker's partitions only move while there is a broker to move them.
            (Kafka(_), Kafka(_) | Stop { .. }) | (Stop { .. }, Kafka(_)) => true,
            (Database(_), Database(_)) => true,
            (Cut { worker, .. }, Cut { worker: other, .. }) => {
                worker.is_none() || other.is_none() || worker == other
            }
            _ => false,
        };
        let recovery = match self.disturbance {
            Kafka(_) => KAFKA_STARTS,
            _ => Duration::ZERO,
        };
        conflict && self.ends() + recovery > later.at
    }
}

impl Kind {
    /// From and to, in milliseconds.
    fn lasts(self) -> (u64, u64) {
        match self {
            Self::Kill => (0, 3_000),
            // Longer than the session time-out, so that the partitions move.
            Self::Stop => (7_000, 12_000),
            Self::Kafka => (500, 6_000),
            Self::Database => (500, 8_000),
            // Some shorter, some longer than the session time-out.
            Self::Cut => (2_000, 12_000),
        }
    }

    fn disturbance(self, random: &mut fastrand::Rng, targets: Targets) -> Disturbance {
        let worker = random.usize(..targets.workers);
        let way = match random.bool() {
            true => Way::InGoodOrder,
            false => Way::Killed,
        };
        match self {
            Self::Kill => Disturbance::Kill { worker },
            Self::Stop => Disturbance::Stop { worker },
            Self::Kafka => Disturbance::Kafka(way),
            Self::Database => Disturbance::Database(way),
            Self::Cut => {
                let sides = [None, Some(Side::Kafka), Some(Side::Database)];
                let side = match targets.database {
                    true => sides[random.usize(..sides.len())],
                    false => Some(Side::Kafka),
                };
                let worker = (random.u8(..4) > 0).then_some(worker);
                Disturbance::Cut { worker, side }
            }
        }
    }
}

/// Kinds by their share, in random order. One of each is drawn first: the bag is emptied from its end.
fn shuffled_bag(random: &mut fastrand::Rng, targets: Targets) -> Vec<Kind> {
    let mut once = vec![Kind::Kill, Kind::Stop, Kind::Kafka];
    let mut more = vec![Kind::Kill, Kind::Kill, Kind::Stop];
    if targets.database {
        once.push(Kind::Database);
    }
    if targets.network {
        once.push(Kind::Cut);
        more.push(Kind::Cut);
    }
    random.shuffle(&mut once);
    random.shuffle(&mut more);
    more.extend(once);
    more
}

fn milliseconds(random: &mut fastrand::Rng, (from, to): (u64, u64)) -> Duration {
    Duration::from_millis(random.u64(from..to))
}

impl Disturbance {
    /// What kind it is, for the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill { .. } => "worker killed",
            Self::Stop { .. } => "worker stopped",
            Self::Kafka(Way::InGoodOrder) => "kafka restarted",
            Self::Kafka(Way::Killed) => "kafka killed",
            Self::Database(Way::InGoodOrder) => "database restarted",
            Self::Database(Way::Killed) => "database killed",
            Self::Cut { .. } => "network cut",
        }
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { worker } => write!(f, "kill -9 worker {worker}"),
            Self::Stop { worker } => write!(f, "stop worker {worker}"),
            Self::Kafka(Way::InGoodOrder) => f.write_str("restart kafka"),
            Self::Kafka(Way::Killed) => f.write_str("kill -9 kafka"),
            Self::Database(Way::InGoodOrder) => f.write_str("restart the database"),
            Self::Database(Way::Killed) => f.write_str("crash the database"),
            Self::Cut { worker, side } => {
                match worker {
                    Some(worker) => write!(f, "cut worker {worker} off from ")?,
                    None => f.write_str("cut all workers off from ")?,
                }
                f.write_str(match side {
                    Some(Side::Kafka) => "kafka",
                    Some(Side::Database) => "the database",
                    None => "kafka and the database",
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const ALL: Targets = Targets {
        workers: 3,
        network: true,
        database: true,
    };
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_seed_always_gives_the_same_plan() {
        let plan = Plan::draw(7, MINUTE, ALL);
        assert_eq!(plan, Plan::draw(7, MINUTE, ALL));
        assert_ne!(plan, Plan::draw(8, MINUTE, ALL));
    }

    #[test]
    fn nothing_is_disturbed_twice_at_once_and_all_is_mended_in_time() {
        for seed in 0..200 {
            let steps = Plan::draw(seed, 5 * MINUTE, ALL).steps;
            for (index, step) in steps.iter().enumerate() {
                assert!(step.ends() <= 5 * MINUTE, "{seed}: {step:?}");
                let meets = steps[..index].iter().find(|other| other.meets(step));
                assert_eq!(meets, None, "{seed}: {step:?}");
            }
        }
    }

    #[test]
    fn a_minute_has_every_kind_nearly_always() {
        let kinds = |plan: Plan| -> BTreeSet<&str> {
            let names = plan.steps.iter().map(|step| step.disturbance.name());
            names
                .map(|name| name.split(' ').next().expect("a word"))
                .collect()
        };
        let complete = (0..100).filter(|seed| kinds(Plan::draw(*seed, MINUTE, ALL)).len() == 4);
        assert!(complete.count() >= 95);
    }

    #[test]
    fn what_is_not_there_is_not_disturbed() {
        let targets = Targets {
            network: false,
            database: false,
            ..ALL
        };
        for seed in 0..50 {
            for step in Plan::draw(seed, MINUTE, targets).steps {
                assert!(!matches!(
                    step.disturbance,
                    Disturbance::Cut { .. } | Disturbance::Database(_)
                ));
            }
        }
    }
}
