//! Jobs on real databases. `running` holds how jobs are run, `recovery` what happens when a process dies, `adding` how they
//! get in, `operating` what an operator does, `http` the same over HTTP. `support` makes stores, jobs and executors.

mod support;

mod adding;

mod running;

mod recovery;

mod operating;

mod http;

macro_rules! on_both {
    ($($module:ident: $($fact:ident),* $(,)?;)*) => {
        mod on_sqlite {
            $($(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                let place = crate::support::Place::sqlite();
                crate::$module::$fact(&place).await;
            })*)*
        }

        mod on_postgres {
            $($(#[tokio::test(flavor = "multi_thread")]
            async fn $fact() {
                if let Some(place) = crate::support::Place::postgres().await {
                    crate::$module::$fact(&place).await;
                }
            })*)*
        }
    };
}

on_both! {
    adding:
        a_job_is_added_once_however_often_its_message_comes,
        a_job_whose_unique_key_is_taken_is_dropped_and_says_so,
        a_job_is_added_through_the_topic_of_its_queue;
    running:
        higher_priorities_run_first_and_within_them_first_come_first_served,
        a_job_waits_until_it_is_due,
        a_job_that_fails_is_tried_again_until_its_attempts_are_used_up,
        a_permanent_failure_a_panic_and_a_wrong_payload_are_told,
        a_run_that_takes_too_long_has_failed,
        a_job_that_succeeded_is_kept_or_removed,
        no_more_jobs_run_at_once_than_the_queue_allows,
        several_instances_run_each_job_once_and_by_priority,
        a_rate_limit_is_kept,
        progress_and_log_are_seen_while_a_job_runs;
    recovery:
        a_job_whose_process_died_is_run_again_and_the_run_is_counted,
        a_job_whose_process_died_in_its_last_run_has_failed,
        a_lease_is_renewed_while_a_job_runs,
        a_stopping_worker_finishes_what_runs_and_gives_back_the_rest,
        a_run_is_dropped_as_its_lease_ends_though_the_store_does_not_answer;
    operating:
        a_paused_queue_starts_nothing_until_it_is_resumed,
        a_failed_job_can_be_retried_and_redriven,
        a_job_can_be_removed_unless_it_runs,
        occurrences_are_added_once_whoever_runs,
        old_jobs_are_forgotten;
    http:
        jobs_can_be_added_looked_at_and_removed,
        problems_are_told_as_problems;
}
