//! Apache Kafka itself, in KRaft mode: its jars from Maven Central, run by the machine's Java.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::process::{Leash, Process};
use crate::wait::free_port;

/// The version that is fetched.
pub(super) const VERSION: &str = "4.3.0";

/// A broker has this long to stop in good order; then it is killed.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// One node that is broker and controller, with its data in a temporary directory.
#[derive(Debug)]
pub(super) struct Apache {
    address: Ipv4Addr,
    port: u16,
    java: Option<Process>,
    jars: PathBuf,
    data: TempDir,
    _leash: Leash,
}

impl Apache {
    pub(super) async fn run(address: Ipv4Addr) -> anyhow::Result<Self> {
        let jars = tokio::task::spawn_blocking(jars).await??;
        let data = tempfile::Builder::new().prefix("longshore-").tempdir()?;
        let leash = Leash::new(&format!("sleep 1; rm -rf '{}'", data.path().display()))?;
        let port = free_port()?;
        let log = data.path().join("log");
        let properties = properties(address, port, free_port()?, &log);
        fs::write(data.path().join("server.properties"), properties)?;
        let mut apache = Self {
            address,
            port,
            java: None,
            jars,
            data,
            _leash: leash,
        };
        apache.format()?;
        apache.start().await?;
        Ok(apache)
    }

    pub(super) fn bootstrap(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut java) = self.java.take() {
            java.signal("TERM")?;
            if java.wait(STOPS_WITHIN).await.is_err() {
                java.kill()?;
            }
        }
        Ok(())
    }

    /// Kills it with -9.
    pub(super) fn crash(&mut self) -> anyhow::Result<()> {
        if let Some(mut java) = self.java.take() {
            java.kill()?;
        }
        Ok(())
    }

    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        if self.java.is_some() {
            bail!("the broker runs already");
        }
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.data.path().join("kafka.log"))?;
        let mut command = self.java("kafka.Kafka");
        command
            .arg(self.data.path().join("server.properties"))
            .stdout(output.try_clone()?)
            .stderr(output);
        self.java = Some(Process::spawn(&mut command).context("java does not start")?);
        Ok(())
    }

    /// Writes the cluster's id into the log directory, as `kafka-storage.sh format` does.
    fn format(&self) -> anyhow::Result<()> {
        // 22 characters of unpadded base64: any 16 bytes will do for a cluster of one.
        const CLUSTER: &str = "bG9uZ3Nob3JlLXRlc3RzLg";
        let formatted = self
            .java("kafka.tools.StorageTool")
            .args(["format", "-t", CLUSTER, "-c"])
            .arg(self.data.path().join("server.properties"))
            .stdin(Stdio::null())
            .output()
            .context("java does not start; Apache Kafka 4 needs Java 17 or later on the PATH")?;
        if !formatted.status.success() {
            let said = String::from_utf8_lossy(&formatted.stderr);
            bail!("Apache Kafka's storage was not formatted: {said}");
        }
        Ok(())
    }

    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC"])
            // Tests are over before the second compiler would pay off.
            .arg("-XX:TieredStopAtLevel=1")
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg(class);
        command
    }
}

/// The broker's session with its controller is short, since one that was killed is only let in again when it is over; and
/// so are those of members that leave theirs to the broker, since tests wait for them.
fn properties(address: Ipv4Addr, port: u16, controller: u16, log: &Path) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         listeners=PLAINTEXT://{address}:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://{address}:{port}\n\
         controller.listener.names=CONTROLLER\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         log.initial.task.delay.ms=500\n\
         log.retention.check.interval.ms=500\n\
         log.cleaner.backoff.ms=500\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         group.initial.rebalance.delay.ms=0\n\
         group.consumer.min.session.timeout.ms=1000\n\
         group.consumer.session.timeout.ms=6000\n\
         group.consumer.min.heartbeat.interval.ms=500\n\
         group.consumer.heartbeat.interval.ms=1000\n\
         broker.session.timeout.ms=4000\n\
         broker.heartbeat.interval.ms=1000\n",
        log.display()
    )
}

/// The directory of the jars, fetched by Maven if they are not there.
pub(super) fn jars() -> anyhow::Result<PathBuf> {
    let home = target_directory()?.join("kafka").join(VERSION);
    let jars = home.join("libs");
    fs::create_dir_all(&home)?;
    // Test binaries may run at the same time; the lock goes with its holder.
    let lock = File::create(home.join("lock"))?;
    lock.lock()?;
    if jars.exists() {
        return Ok(jars);
    }
    let partial = home.join("partial");
    fs::write(home.join("pom.xml"), pom())?;
    let fetched = Command::new("mvn")
        .args(["--batch-mode", "--quiet", "dependency:copy-dependencies"])
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .current_dir(&home)
        .stdin(Stdio::null())
        .output()
        .context("mvn does not start; install Maven, or choose another LONGSHORE_TEST_BROKER")?;
    if !fetched.status.success() {
        let said = String::from_utf8_lossy(&fetched.stdout);
        bail!("Maven did not fetch Apache Kafka {VERSION}: {said}");
    }
    fs::rename(&partial, &jars)?;
    Ok(jars)
}

fn pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n\
         <modelVersion>4.0.0</modelVersion>\n\
         <groupId>longshore</groupId><artifactId>kafka-jars</artifactId><version>1</version>\n\
         <packaging>pom</packaging>\n<dependencies>\n{}{}</dependencies>\n</project>\n",
        dependency("org.apache.kafka", "kafka_2.13", VERSION),
        // Kafka logs through SLF4J 1.7; without a binding it would say nothing, not even why it stops.
        dependency("org.slf4j", "slf4j-simple", "1.7.36"),
    )
}

/// Cargo's target directory, of which the running test is a part.
fn target_directory() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").exists());
    Ok(target
        .with_context(|| format!("{} is in no target directory", test.display()))?
        .to_owned())
}
