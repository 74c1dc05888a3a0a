//! A whole worker: it greets every new user once, remembers whom it has greeted, and says so in an event.
//! Try it: `cargo run -p longshore --example greeter -- --help`.

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
    greeting: String,
}

impl Event for UserGreeted {
    const TYPE: &'static str = "user.greeted";

    fn key(&self) -> &str {
        &self.user
    }
}

const TABLES: &[Migration] = &[Migration {
    module: "greeter",
    version: 1,
    name: "greeted users",
    sql: "create table greeted (name text not null primary key, at bigint not null)",
}];

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
        let now = context.now().as_millisecond();
        context.write(
            sql("insert into greeted (name, at) values ($1, $2)")
                .bind(&user)
                .bind(now),
        );
        context.publish(&UserGreeted {
            greeting: format!("Welcome aboard, {user}!"),
            user,
        })
    }
}

fn main() -> std::process::ExitCode {
    longshore::main(
        WorkerBuilder::new("greeter", |_store| Greeter)
            .reads(UserSignedUp::TOPIC)
            .publishes(UserGreeted::TOPIC)
            .migrations(TABLES),
    )
}
