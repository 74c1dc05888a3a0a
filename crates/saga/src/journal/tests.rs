//! The state machine by itself: whatever steps answer, what was done is taken back in reverse, once.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// Four steps; the second cannot be taken back.
const PLAN: &[Step<()>] = &[
    Step::new((), "a").compensated_by("-a"),
    Step::new((), "b"),
    Step::new((), "c").compensated_by("-c"),
    Step::new((), "d").compensated_by("-d"),
];

fn begun() -> Journal {
    let mut journal = Journal::new(PLAN, json!(null));
    journal.begin(NOW);
    journal
}

#[test]
fn all_steps_done_is_completed() {
    let mut journal = begun();
    for step in 0..PLAN.len() {
        assert_eq!(journal.next(), Next::Act(step));
        assert_eq!(journal.state(), State::Running);
        journal.acted(step, NOW);
    }
    assert_eq!(journal.state(), State::Completed);
}

#[test]
fn a_refusal_compensates_in_reverse_what_can_be() {
    let mut journal = begun();
    for step in 0..3 {
        journal.acted(step, NOW);
    }
    journal.refused(3, json!("no"), NOW);

    assert_eq!(journal.state(), State::Compensating);
    assert_eq!(journal.next(), Next::Compensate(2));
    journal.compensated(2, NOW);
    assert_eq!(journal.next(), Next::Compensate(0));
    journal.compensated(0, NOW);
    assert_eq!(journal.state(), State::Compensated);
}

#[test]
fn a_step_whose_outcome_is_unknown_answers_before_it_is_compensated() {
    let mut journal = begun();
    journal.acted(0, NOW);
    journal.acted(1, NOW);
    journal.failed(Next::Act(2), "no answer".into(), NOW);

    journal.turn_back(Reason::TimedOut, NOW);

    assert_eq!(journal.next(), Next::Act(2));
    journal.acted(2, NOW);
    assert_eq!(journal.next(), Next::Compensate(2), "and no step begins");
    journal.compensated(2, NOW);
    journal.compensated(0, NOW);
    assert_eq!(journal.state(), State::TimedOut);
}

#[test]
fn a_saga_that_never_began_ends_without_a_step() {
    let mut journal = Journal::new(PLAN, json!(null));
    journal.turn_back(Reason::CalledOff(json!("never mind")), NOW);
    assert_eq!(journal.next(), Next::End);
    assert_eq!(journal.state(), State::Compensated);
}

#[test]
fn failures_are_counted_and_forgotten_with_the_answer() {
    let mut journal = begun();
    journal.failed(Next::Act(0), "no".into(), NOW);
    journal.failed(Next::Act(0), "still no".into(), NOW);
    assert_eq!(
        journal.steps[0].action.last_error.as_deref(),
        Some("still no")
    );
    journal.acted(0, NOW);
    let action = &journal.steps[0].action;
    assert_eq!((action.attempts, action.last_error.as_deref()), (3, None));
}

#[test]
fn a_later_program_may_add_steps_and_not_change_them() {
    let journal = begun();
    let more = [PLAN, &[Step::new((), "e")]].concat();
    assert_eq!(
        journal
            .clone()
            .planned(&more)
            .map(|journal| journal.steps.len()),
        Some(5)
    );
    assert_eq!(journal.clone().planned(&more[1..]), None);
    assert_eq!(journal.planned(&PLAN[..2]), None);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Done,
    Refused,
    Failed,
    TurnBack,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Done),
        1 => Just(Event::Refused),
        2 => Just(Event::Failed),
        1 => Just(Event::TurnBack),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_ends_with_nothing_or_everything(events in prop::collection::vec(event(), 0..30)) {
        let mut journal = begun();
        let (mut done, mut undone) = (Vec::new(), Vec::new());
        // When the events are over, everything goes well.
        for event in events.into_iter().chain(std::iter::repeat(Event::Done)) {
            match (journal.next(), event) {
                (Next::End, _) => break,
                (_, Event::TurnBack) => journal.turn_back(Reason::TimedOut, NOW),
                (next, Event::Failed) => journal.failed(next, "no".into(), NOW),
                (Next::Act(step), Event::Refused) => journal.refused(step, json!("no"), NOW),
                (Next::Act(step), Event::Done) => {
                    done.push(step);
                    journal.acted(step, NOW);
                }
                (Next::Compensate(step), _) => {
                    undone.push(step);
                    journal.compensated(step, NOW);
                }
            }
            let text = serde_json::to_string(&journal).expect("JSON");
            prop_assert_eq!(&serde_json::from_str::<Journal>(&text).expect("a journal"), &journal);
        }
        if journal.state() == State::Completed {
            prop_assert_eq!(done, [0, 1, 2, 3]);
            prop_assert!(undone.is_empty());
        } else {
            let expected: Vec<usize> = done.into_iter().rev().filter(|step| *step != 1).collect();
            prop_assert_eq!(undone, expected);
        }
    }
}
