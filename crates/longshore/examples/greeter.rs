//! A whole worker with its test: it greets every new user, once.
//! `cargo run -p longshore --example greeter -- --help`

use longshore::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct UserSignedUp {
    user: String,
}

impl Event for UserSignedUp {
    const TYPE: &'static str = "user.signed-up";
    fn key(&self) -> &str {
        &self.user
    }
}

#[derive(Serialize, Deserialize)]
struct UserGreeted {
    user: String,
}

impl Event for UserGreeted {
    const TYPE: &'static str = "user.greeted";
    fn key(&self) -> &str {
        &self.user
    }
}

struct Greeter;

impl Handler for Greeter {
    type Payload = UserSignedUp;
    const NAME: &'static str = "greeter";

    async fn handle(
        &self,
        message: &Envelope<UserSignedUp>,
        context: &mut Context<'_, UserSignedUp>,
    ) -> Result<(), Failure> {
        let user = message.event().user.clone();
        context.publish(&UserGreeted { user })
    }
}

fn greeter() -> WorkerBuilder<Greeter> {
    let worker = WorkerBuilder::new("greeter", |_store| Greeter);
    worker
        .reads(UserSignedUp::TOPIC)
        .publishes(UserGreeted::TOPIC)
}

fn main() -> std::process::ExitCode {
    longshore::main(greeter())
}

#[cfg(test)]
#[tokio::test]
async fn a_greeting_waits_for_the_database() {
    let user = || "ada".to_owned();
    let mut worker = longshore::testing::TestWorker::start(greeter).await;
    worker.store_down();
    worker.send(&UserSignedUp { user: user() });
    worker.settle().await;
    worker.expect_published::<UserGreeted>(&[]);
    worker.store_up();
    worker.advance(std::time::Duration::from_secs(10)).await;
    worker.expect_published(&[UserGreeted { user: user() }]);
    worker.stop().await;
}
