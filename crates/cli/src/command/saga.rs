//! `longshore saga`: the sagas of a worker, read from its store.

mod show;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use longshore::secret;
use longshore_saga::{SagaReport, State};
use longshore_store::{OpenError, SqlStore, StoreUrl};
use longshore_worker::StoreError;

use crate::arguments::Global;
use crate::table::Table;

/// Sagas of each state that `list` prints, if it is not told otherwise.
const LISTED: u32 = 50;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  longshore saga list
  longshore saga show o-17")]
pub(crate) enum SagaCommand {
    /// List sagas that are not finished, or those of some states
    List(ListArguments),
    /// Draw the steps of a saga: what was done, when, how often it was tried, and what failed
    Show(ShowArguments),
}

/// Whose sagas. The store is only read: the worker may run meanwhile, or not.
#[derive(Debug, Args)]
struct StoreArguments {
    /// The worker's store; without it, the one of the `longshore up` that uses DIR
    #[arg(
        long,
        env = "LONGSHORE_STORE",
        value_name = "URL",
        hide_env_values = true,
        value_parser = secret(StoreUrl::from_str)
    )]
    store: Option<StoreUrl>,
    /// The worker's consumer group
    #[arg(
        long,
        env = "LONGSHORE_GROUP",
        default_value = "order-created",
        value_name = "GROUP"
    )]
    group: String,
    /// The directory of `longshore up`
    #[arg(
        long,
        env = "LONGSHORE_DATA",
        default_value = ".longshore",
        value_name = "DIR"
    )]
    data: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --state, sagas that are not finished are listed: stuck, compensating, running.

Examples:
  longshore saga list
  longshore saga list --state completed --limit 5
  longshore saga list --store postgres://user:password@db/shop --json")]
pub(crate) struct ListArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Only those in this state: stuck, compensating, running, completed, compensated, timed_out; may be repeated
    #[arg(
        long = "state",
        env = "LONGSHORE_STATE",
        value_name = "STATE",
        value_delimiter = ',',
        value_parser = state
    )]
    states: Vec<State>,
    /// How many of each state, those that began last first
    #[arg(long, env = "LONGSHORE_LIMIT", default_value_t = LISTED, value_name = "N")]
    limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore saga show o-17
  longshore saga show o-17 --store sqlite:order-created.db --json")]
pub(crate) struct ShowArguments {
    /// The saga, such as the id of its order
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    store: StoreArguments,
}

pub(crate) async fn run(global: &Global, command: SagaCommand) -> anyhow::Result<()> {
    match command {
        SagaCommand::List(arguments) => list(global, arguments).await,
        SagaCommand::Show(arguments) => show(global, arguments).await,
    }
}

async fn list(global: &Global, arguments: ListArguments) -> anyhow::Result<()> {
    let unfinished = [State::Stuck, State::Compensating, State::Running];
    let states = match arguments.states.is_empty() {
        true => unfinished.to_vec(),
        false => arguments.states,
    };
    let store = arguments.store.open().await?;
    let sagas = longshore_saga::list(&store, &states, arguments.limit).await;
    let sagas = sagas.map_err(|error| arguments.store.unreadable(error))?;
    let output = global.output();
    if global.json {
        return output.json(&sagas);
    }
    let mut table = Table::new(&[
        "SAGA", "ID", "STATE", "BEGAN", "CHANGED", "STEP", "TRIES", "ERROR",
    ]);
    for saga in &sagas {
        table.row(&row(saga).each_ref().map(String::as_str));
    }
    for line in table.lines() {
        output.line(line)?;
    }
    Ok(())
}

fn row(saga: &SagaReport) -> [String; 8] {
    let part = saga.under_way();
    let tries = part.map(|part| part.attempts.to_string());
    let error = part.and_then(|part| part.last_error.clone());
    [
        saga.name.clone(),
        saga.id.clone(),
        saga.state.as_str().to_owned(),
        show::time(saga.started_at),
        show::time(saga.changed_at),
        part.map(|part| part.name.clone()).unwrap_or_default(),
        tries.unwrap_or_default(),
        error.unwrap_or_default(),
    ]
}

async fn show(global: &Global, arguments: ShowArguments) -> anyhow::Result<()> {
    let store = arguments.store.open().await?;
    let sagas = longshore_saga::find(&store, &arguments.id).await;
    let sagas = sagas.map_err(|error| arguments.store.unreadable(error))?;
    if sagas.is_empty() {
        bail!(
            "{} has no saga {:?}; `longshore saga list --state completed` lists those that are over",
            arguments.store.group,
            arguments.id
        );
    }
    let output = global.output();
    for saga in &sagas {
        match global.json {
            true => output.json(saga)?,
            false => show::draw(output, saga)?,
        }
    }
    Ok(())
}

impl StoreArguments {
    fn url(&self) -> StoreUrl {
        let file = || self.data.join(format!("{}.db", self.group));
        let url = self.store.clone();
        url.unwrap_or_else(|| StoreUrl::sqlite(file()))
    }

    async fn open(&self) -> anyhow::Result<SqlStore> {
        let url = self.url();
        let opened = SqlStore::inspect(&url, &self.group).await;
        match &opened {
            Err(OpenError::File { .. }) if self.store.is_none() => opened.with_context(|| {
                format!(
                    "no `longshore up` has used {}; name the worker's store with --store",
                    self.data.display()
                )
            }),
            _ => opened.with_context(|| format!("cannot read {url}")),
        }
    }

    fn unreadable(&self, error: StoreError) -> anyhow::Error {
        let rejected = matches!(error, StoreError::Rejected(_));
        let error = anyhow::Error::from(error);
        match rejected {
            true => error.context(format!(
                "{} has no sagas of the worker {}; is it the right store and --group?",
                self.url(),
                self.group
            )),
            false => error,
        }
    }
}

fn state(name: &str) -> Result<State, String> {
    State::parse(name).ok_or_else(|| {
        let names = State::ALL.map(State::as_str);
        format!("one of {}", names.join(", "))
    })
}
