//! What every worker can be told on its command line.

use super::*;
use longshore_event::{DecodeError, Envelope, Payload, Record};
use longshore_services::{CallSettings, Service};
use longshore_worker::{Context, Failure};

struct Nothing;

impl Payload for Nothing {
    fn decode(_: &Record) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

impl Handler for Nothing {
    type Payload = Self;
    const NAME: &'static str = "nothing";

    async fn handle(&self, _: &Envelope<Self>, _: &mut Context<'_, Self>) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Args, Debug, Default)]
struct Own {
    /// How long it does nothing
    #[arg(long, env = "LONGSHORE_TEST_PATIENCE", default_value = "1m", value_parser = parse_duration)]
    patience: Duration,
}

fn command<A: Args>() -> Command {
    WorkerArgs::command::<A, _>(&WorkerBuilder::plain("nothing", Nothing))
}

fn parse_with<A: Args>(arguments: &[&str]) -> Result<(WorkerArgs, A), clap::Error> {
    let arguments = ["nothing"].iter().chain(arguments);
    WorkerArgs::read(&command::<A>().try_get_matches_from(arguments)?)
}

fn parse(arguments: &[&str]) -> Result<WorkerArgs, clap::Error> {
    let (args, ()) = parse_with(arguments)?;
    Ok(args)
}

#[test]
fn the_command_line_is_consistent_and_every_flag_has_a_variable() {
    let command = command::<()>();
    command.clone().debug_assert();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        assert!(argument.get_env().is_some(), "{id}");
        let may_have_password = ["store", "kafka", "url"]
            .iter()
            .any(|end| id.ends_with(end));
        assert_eq!(argument.is_hide_env_values_set(), may_have_password, "{id}");
    }
}

#[test]
fn the_defaults_of_the_command_line_are_those_of_the_runtime() {
    let parsed = parse(&["--brokers", "k:1"]).expect("valid").settings("g");
    let defaults = WorkerArgs::new("k:1").settings("g");
    let timeout = parse(&["--brokers", "k:1"])
        .expect("valid")
        .transaction_timeout;
    assert_eq!(timeout, WorkerArgs::new("k:1").transaction_timeout);
    let services = parse(&[]).expect("valid").services;
    assert_eq!(services.settings(), ServiceArgs::default().settings());
    assert_eq!(services.settings(), CallSettings::default());
    assert_eq!(format!("{parsed:?}"), format!("{defaults:?}"));
    assert_eq!(format!("{defaults:?}"), format!("{:?}", Settings::new("g")));
}

#[test]
fn properties_keep_what_follows_the_first_equals_sign() {
    let args =
        parse(&["--kafka", "sasl.password=a=b;c,d", "--kafka", "client.id=x"]).expect("valid");
    let expected = [("sasl.password", "a=b;c,d"), ("client.id", "x")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(args.connection().properties, expected);
}

#[test]
fn a_workers_own_flags_stand_beside_those_of_every_worker() {
    command::<Own>().debug_assert();
    let arguments = ["--patience", "2m", "--concurrency", "3"];
    let (args, own) = parse_with::<Own>(&arguments).expect("valid");
    assert_eq!(
        (own.patience, args.concurrency),
        (Duration::from_secs(120), 3)
    );
    let error = parse_with::<Own>(&["--patience", "soon"]).expect_err("no time");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn services_are_where_the_flags_say_and_an_empty_one_says_nothing() {
    let args = parse(&[
        "--payment-service-url",
        "http://pay:8080/v1",
        "--carrier-service-url",
        "",
    ])
    .expect("valid");
    let addresses = args.services.addresses().expect("valid");
    let payment = addresses.get(Service::Payment).map(|url| url.as_str());
    assert_eq!(payment, Some("http://pay:8080/v1"));
    assert!(addresses.get(Service::Carrier).is_none());
}

#[test]
fn every_service_has_its_flag_and_variable() {
    for service in Service::ALL {
        let flag = format!("--{service}-service-url");
        let url = format!("http://{service}:1/");
        let args = parse(&[&flag, &url]).expect("valid").services;
        let addresses = args.addresses().expect("valid");
        assert_eq!(addresses.get(service).map(|url| url.as_str()), Some(&*url));
        let at = ServiceArgs::at(&[(service, url)]);
        assert_eq!(at.addresses().expect("valid"), addresses);

        let command = WorkerArgs::command::<(), _>(&WorkerBuilder::plain("nothing", Nothing));
        let id = flag.trim_start_matches('-').replace('-', "_");
        let argument = command
            .get_arguments()
            .find(|argument| argument.get_id() == &*id);
        let variable = argument.and_then(|argument| argument.get_env());
        assert_eq!(variable, Some(service.variable().as_ref()));
    }
}

#[test]
fn help_shows_the_flags_of_services_where_they_are_called() {
    let calls_none = WorkerArgs::command::<(), _>(&WorkerBuilder::plain("nothing", Nothing));
    let calls = WorkerBuilder::calling("nothing", |_, _| Nothing);
    let flag = "--payment-service-url";
    let shown = |mut command: Command| command.render_long_help().to_string().contains(flag);
    assert!(!shown(calls_none));
    assert!(shown(WorkerArgs::command::<(), _>(&calls)));
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    for arguments in [
        ["--concurrency", "0"],
        ["--attempts", "0"],
        ["--drain", "soon"],
        ["--kafka", "x"],
        ["--store", "mysql://s3cret@host"],
        ["--store", "postgres://user:s3cret/x@host/db"],
        ["--kafka", "s3cret"],
        ["--payment-service-url", "pay:8080"],
        ["--payment-service-url", "ftp://user:s3cret@pay"],
        ["--service-tries", "0"],
    ] {
        let error = parse(&arguments).expect_err(arguments[0]);
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
        let text = error.to_string();
        assert!(!text.contains("s3cret"), "{text}");
    }
}
