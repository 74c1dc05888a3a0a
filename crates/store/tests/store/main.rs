//! The store on real databases. `contract` and `commands` hold the facts that are true on both; `fences`, `timers`, `parked`
//! and `upkeep` hold those that are true of every store, and run on the one in memory too, since tests of the runtime rely
//! on it; what only one database can show is in `sqlite`, `postgres` and `races`; `gate` is for tests of others. `batch` makes messages.

#[path = "../support/mod.rs"]
mod support;

mod batch;

mod contract;

mod commands;

mod fences;

mod timers;

mod parked;

mod upkeep;

mod opening;

mod gate;

mod transaction;

mod sqlite;

mod postgres;

mod races;

macro_rules! on_both {
    ($($module:ident: $($fact:ident),* $(,)?;)*) => {
        mod on_sqlite {
            $($(#[tokio::test]
            async fn $fact() {
                let place = crate::support::Place::sqlite();
                crate::$module::$fact(&place).await;
            })*)*
        }

        mod on_postgres {
            $($(#[tokio::test]
            async fn $fact() {
                if let Some(place) = crate::support::Place::postgres().await {
                    crate::$module::$fact(&place).await;
                    place.clear().await;
                }
            })*)*
        }
    };
}

on_both! {
    contract:
        a_committed_message_is_seen,
        a_duplicate_refuses_the_whole_batch_and_leaves_nothing,
        a_message_twice_in_a_batch_is_a_duplicate,
        a_rejected_statement_leaves_nothing_and_is_named,
        a_constraint_checked_at_the_commit_is_a_rejection,
        a_result_that_cannot_be_read_is_a_rejection,
        statements_run_in_the_order_of_messages_and_within_them,
        ten_thousand_messages_are_one_batch,
        nulls_and_binary_data_survive,
        outbox_rows_survive_whole,
        the_outbox_is_in_sequence_and_can_be_paged,
        the_outbox_can_be_asked_for_many_partitions,
        published_rows_are_gone,
        a_dropped_commit_leaves_all_or_nothing,
        handlers_and_the_committer_do_not_get_in_each_others_way;
    commands:
        a_command_takes_effect_once,
        a_command_that_is_rejected_leaves_nothing,
        rows_become_visible_in_the_order_of_their_sequences,
        a_lease_is_its_holders_until_it_is_over_or_given_back,
        a_store_of_others_is_read_as_it_is;
    transaction:
        a_transaction_is_whole,
        a_dropped_transaction_leaves_nothing,
        a_rejected_step_is_told_from_an_outage,
        commits_of_messages_are_told;
    opening:
        reopening_keeps_everything,
        migrations_run_once,
        a_failed_migration_leaves_the_store_as_it_was,
        a_store_of_a_later_version_is_refused,
        who_inspects_sees_what_is_committed_and_cannot_write,
        a_statement_that_writes_can_tell_what_it_wrote;
}

macro_rules! on_every_store {
    ($($module:ident: $($fact:ident),* $(,)?;)*) => {
        mod on_every_store {
            $(mod $module {
                $(mod $fact {
                    use longshore_testkit::memory::MemoryStore;

                    use crate::$module::$fact;
                    use crate::support::Place;

                    #[tokio::test]
                    async fn in_memory() {
                        $fact(&MemoryStore::new()).await;
                    }

                    #[tokio::test]
                    async fn on_sqlite() {
                        let place = Place::sqlite();
                        $fact(&place.open().await).await;
                    }

                    #[tokio::test]
                    async fn on_postgres() {
                        if let Some(place) = Place::postgres().await {
                            $fact(&place.open().await).await;
                            place.clear().await;
                        }
                    }
                })*
            })*
        }
    };
}

on_every_store! {
    fences:
        each_take_over_begins_a_later_epoch,
        a_commit_under_an_earlier_fence_leaves_nothing,
        a_commit_needs_all_of_its_fences;
    timers:
        a_timer_waits_until_it_is_due_and_is_claimed_once,
        the_earliest_timers_are_claimed_first,
        a_claim_ends_after_its_lease,
        a_cancelled_timer_is_gone_and_a_claimed_one_is_not,
        a_timer_replaces_the_pending_one_of_its_name,
        changes_of_one_message_take_effect_in_order,
        many_timers_are_one_batch,
        taking_over_frees_claims_but_not_for_cancelling;
    parked:
        a_parked_row_survives_whole,
        heads_are_the_first_rows_of_their_lanes,
        a_lane_is_read_in_pages_of_its_first_rows,
        a_row_that_is_parked_again_is_replaced,
        rows_are_drained_and_parked_again_in_one_commit,
        a_claim_on_a_row_that_is_gone_is_a_duplicate,
        a_redrive_releases_the_dead_message_of_its_key,
        a_redrive_that_died_tells_of_the_message_that_holds_its_key,
        a_long_key_can_be_parked;
    upkeep:
        old_messages_are_forgotten_a_few_at_a_time,
        redrivable_messages_are_kept_for_longer,
        everything_is_counted;
}
