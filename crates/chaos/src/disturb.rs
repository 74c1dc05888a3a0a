//! Carries out a plan: every disturbance at its time, each for itself, and none after its end.

use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use longshore_testkit::wait::poll;
use tokio::time::{Instant, sleep, sleep_until};

use crate::fleet::client;
use crate::message::GROUP;
use crate::network::Side;
use crate::plan::{Disturbance, Plan, Step, Way};
use crate::report::{Journal, seconds};
use crate::site::Site;

/// How long a stopped worker is kept asleep until its partitions have moved. A broker that is disturbed as well may
/// hold it up.
const MOVES_WITHIN: Duration = Duration::from_secs(20);

/// Returns when the last disturbance is over and everything is mended.
pub(crate) async fn disturb(site: &Site, plan: &Plan, journal: &Journal) -> anyhow::Result<()> {
    let steps = plan.steps.iter().map(|step| carry_out(site, step, journal));
    try_join_all(steps).await?;
    Ok(())
}

async fn carry_out(site: &Site, step: &Step, journal: &Journal) -> anyhow::Result<()> {
    let Step {
        at,
        lasts,
        disturbance,
    } = step;
    sleep_until(Instant::from_std(journal.began() + *at)).await;
    match *disturbance {
        Disturbance::Kill { worker } => {
            let mut process = site.fleet.hold(worker).await;
            announce(step, journal);
            process.kill()?;
            sleep(*lasts).await;
            site.fleet.replace(worker, &mut process)?;
            journal.line(format_args!("worker {worker} started again"));
        }
        Disturbance::Stop { worker } => stop(site, worker, step, journal).await?,
        Disturbance::Kafka(way) => {
            let kafka = site.kafka.lock().await;
            announce(step, journal);
            match way {
                Way::InGoodOrder => kafka.stop().await?,
                Way::Killed => kafka.crash().await?,
            }
            sleep(*lasts).await;
            kafka.restart().await?;
            journal.line(format_args!("kafka answers again"));
        }
        Disturbance::Database(way) => {
            let database = site.database.as_ref().context("there is no database")?;
            let mut server = database.server.lock().await;
            announce(step, journal);
            match way {
                Way::InGoodOrder => server.stop().await?,
                Way::Killed => server.crash().await?,
            }
            sleep(*lasts).await;
            server.restart().await?;
            journal.line(format_args!("the database answers again"));
        }
        Disturbance::Cut { worker, side } => cut(site, worker, side, step, journal).await?,
    }
    Ok(())
}

fn announce(step: &Step, journal: &Journal) {
    let lasts = seconds(step.lasts);
    journal.line(format_args!("{} for {lasts} s", step.disturbance));
    journal.count(step.disturbance.name());
}

/// Puts a worker to sleep until its partitions are others', and wakes it: what it held back then is a zombie's.
async fn stop(site: &Site, worker: usize, step: &Step, journal: &Journal) -> anyhow::Result<()> {
    let process = site.fleet.hold(worker).await;
    let held = partitions(site, worker).await;
    announce(step, journal);
    process.signal("STOP")?;
    let asleep = Instant::now();
    sleep(step.lasts).await;
    let moved = poll(MOVES_WITHIN, async || {
        match partitions(site, worker).await {
            Some(0) => Ok(()),
            still => Err(still),
        }
    });
    let moved = moved.await.is_ok();
    process.signal("CONT")?;
    let after = seconds(asleep.elapsed());
    match (held, moved) {
        (Some(count @ 1..), true) => {
            journal.count("worker woken after its partitions moved");
            journal.line(format_args!(
                "worker {worker} woken after {after} s; its {count} partitions have moved"
            ));
        }
        _ => journal.line(format_args!("worker {worker} woken after {after} s")),
    }
    Ok(())
}

/// How many partitions are a worker's, as the broker sees it; `None` if it does not tell.
async fn partitions(site: &Site, worker: usize) -> Option<usize> {
    // Not while the broker goes: librdkafka 2.12 may abort the process that has an administrative request under way.
    let _kafka = site.kafka.lock().await;
    let group = site.admin.describe_group(GROUP).await.ok()?;
    if group.state != "Stable" {
        return None;
    }
    let own = group
        .members
        .iter()
        .filter(|member| member.client_id == client(worker));
    Some(own.map(|member| member.assignment.len()).sum())
}

async fn cut(
    site: &Site,
    worker: Option<usize>,
    side: Option<Side>,
    step: &Step,
    journal: &Journal,
) -> anyhow::Result<()> {
    let network = site
        .network
        .as_ref()
        .context("there is no network to cut")?;
    let workers = worker.map_or(0..site.fleet.len(), |worker| worker..worker + 1);
    let sides = side.map_or(Side::ALL.to_vec(), |side| vec![side]);
    let links = workers.flat_map(|worker| sides.iter().map(move |side| (worker, *side)));
    let links: Vec<_> = links.collect();
    announce(step, journal);
    for (worker, side) in &links {
        network.cut(*worker, *side)?;
    }
    sleep(step.lasts).await;
    for (worker, side) in links {
        network.heal(worker, side)?;
    }
    match worker {
        Some(worker) => journal.line(format_args!("worker {worker} connected again")),
        None => journal.line(format_args!("all workers connected again")),
    }
    Ok(())
}
