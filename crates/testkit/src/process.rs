//! Child processes of a test: killed when they are dropped, and also when the test process dies without a word.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::wait::poll;

/// A child process. Dropping it kills it with -9.
#[derive(Debug)]
pub struct Process {
    child: Child,
    leash: Leash,
}

impl Process {
    /// Starts it, with no standard input and in a process group of its own, so that a Ctrl-C is the test's alone.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        match Leash::new(&format!("kill -9 {}", child.id())) {
            Ok(leash) => Ok(Self { child, leash }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Kills it with -9 and waits for its end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Sends a signal by its name, such as `TERM`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status()?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("kill -s {name} {id}: {status}")))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if it still runs after `within`.
    pub async fn wait(&mut self, within: Duration) -> io::Result<ExitStatus> {
        let id = self.id();
        poll(within, || {
            let ended = match self.child.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("process {id} still runs after {within:?}"),
                )),
                Err(error) => Err(error),
            };
            std::future::ready(ended)
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watch ends before the process is reaped: its number may be another's afterwards.
        self.leash.release();
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            // It has ended and been waited for: nothing is left to do.
        }
    }
}

/// A clean-up that also runs when this process dies in any way, -9 included.
///
/// A shell waits for a line on its standard input. The line means that all is well; the end of the input means that
/// the other end is gone.
#[derive(Debug)]
pub struct Leash {
    shell: Child,
}

impl Leash {
    /// Runs the shell command `clean_up` when this process ends before [`Leash::release`].
    ///
    /// # Errors
    /// When no shell can be started.
    pub fn new(clean_up: &str) -> io::Result<Self> {
        let script = format!("trap '' INT TERM HUP; read -r done || {{ {clean_up}; }}");
        let shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { shell })
    }

    /// Calls it off.
    pub fn release(&mut self) {
        let told = self
            .shell
            .stdin
            .take()
            .is_some_and(|mut input| input.write_all(b"done\n").is_ok());
        if told && self.shell.wait().is_err() {
            // Somebody else has waited for it; it is gone either way.
        }
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(5);

    fn sleeper() -> Process {
        Process::spawn(Command::new("sleep").arg("600")).expect("sleep starts")
    }

    fn runs(id: u32) -> bool {
        let status = Command::new("kill")
            .args(["-0", &id.to_string()])
            .stderr(Stdio::null())
            .status();
        status.expect("kill runs").success()
    }

    #[tokio::test]
    async fn a_dropped_process_is_gone() {
        let process = sleeper();
        let id = process.id();
        assert!(runs(id));

        drop(process);

        assert!(!runs(id));
    }

    #[tokio::test]
    async fn a_signal_ends_it_and_waiting_is_bounded() {
        let mut process = sleeper();
        let early = process.wait(Duration::from_millis(50)).await;
        assert_eq!(early.expect_err("runs").kind(), io::ErrorKind::TimedOut);

        process.signal("TERM").expect("delivered");

        let status = process.wait(WITHIN).await.expect("ends");
        assert!(!status.success());
    }

    #[tokio::test]
    async fn the_end_of_its_owner_ends_it() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("starts");
        let mut leash = Leash::new(&format!("kill -9 {}", child.id())).expect("starts");

        // What the death of the owner looks like: its end of the pipe is closed, and no line came.
        drop(leash.shell.stdin.take());

        let ended = poll(WITHIN, || {
            std::future::ready(child.try_wait().expect("own child").ok_or("runs"))
        });
        assert!(!ended.await.expect("killed").success());
    }
}
