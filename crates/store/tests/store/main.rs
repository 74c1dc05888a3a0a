//! The store on real databases. `contract` holds the facts that are true on both; what only one of them can show is
//! in `sqlite` and `postgres`. `batch` makes messages.

#[path = "../support/mod.rs"]
mod support;

mod batch;

mod contract;

mod opening;

mod sqlite;

mod postgres;

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
    opening:
        reopening_keeps_everything,
        migrations_run_once,
        a_failed_migration_leaves_the_store_as_it_was,
        a_store_of_a_later_version_is_refused;
}
