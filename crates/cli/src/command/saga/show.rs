//! One saga, drawn: its steps in order, and below each what takes it back.

use std::io;

use jiff::Timestamp;
use longshore_saga::{Part, PartState, Reason, SagaReport, State};

use crate::output::{Colour, Output};
use crate::record::printable;
use crate::table::Table;

pub(super) fn draw(output: Output, saga: &SagaReport) -> io::Result<()> {
    let colour = match saga.state {
        State::Completed => Colour::Green,
        State::Stuck => Colour::Red,
        State::Compensating | State::Running => Colour::Yellow,
        State::Compensated | State::TimedOut => Colour::Cyan,
    };
    output.line(format_args!(
        "{} {}: {}, began {}, changed {}",
        printable(&saga.name),
        printable(&saga.id),
        output.paint(colour, saga.state.as_str()),
        time(saga.started_at),
        time(saga.changed_at),
    ))?;
    if let Some(turn) = &saga.journal.turned {
        let reason = match &turn.reason {
            Reason::Refused(refusal) => format!("refused: {refusal}"),
            Reason::CalledOff(refusal) => format!("called off: {refusal}"),
            Reason::TimedOut => "its time was over".to_owned(),
        };
        output.line(format_args!("  turned back {}, {reason}", time(turn.at)))?;
    }
    let mut table = Table::new(&["STEP", "STATE", "AT", "TRIES", "ERROR"]);
    for step in &saga.journal.steps {
        table.row(&row("", &step.action).each_ref().map(String::as_str));
        let compensation = step.compensation.iter();
        for part in compensation.filter(|part| part.state != PartState::Waiting) {
            table.row(&row("└ ", part).each_ref().map(String::as_str));
        }
    }
    for line in table.lines() {
        output.line(format_args!("  {line}"))?;
    }
    Ok(())
}

fn row(indent: &str, part: &Part) -> [String; 5] {
    let state = match part.state {
        PartState::Waiting => "waiting",
        PartState::UnderWay => "under way",
        PartState::Done => "done",
        PartState::Refused => "refused",
    };
    [
        format!("{indent}{}", part.name),
        state.to_owned(),
        part.at.map(time).unwrap_or_default(),
        part.attempts.to_string(),
        part.last_error.clone().unwrap_or_default(),
    ]
}

/// A time, to the second.
pub(super) fn time(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}
