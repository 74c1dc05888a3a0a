//! Notifications: who is told what, and that it is told once, whatever the turn in which orders and users are heard of.

use std::time::Duration;

use longshore::testing::Decisions;
use longshore_event::Event;
use longshore_jobs::NewJob;
use longshore_orders::job::Email;
use longshore_orders::notifications::{
    MIGRATIONS, MailKind, NotificationArguments, NotificationsHandler,
};
use longshore_orders::{CancelReason, OrderMailDue, Role, UserCreated, UserDeleted, UserUpdated};
use longshore_worker::{PendingTimer, sql};

use crate::support::{Place, after, cancelled, created, delivered, paid, shipped};

struct Post {
    place: Place,
    handler: NotificationsHandler,
}

impl Post {
    async fn open(unknown_address: Option<&str>) -> Self {
        let place = Place::open(MIGRATIONS).await;
        let arguments = NotificationArguments {
            patience: Duration::from_secs(60),
            unknown_address: unknown_address.map(|pattern| pattern.parse().expect("a pattern")),
        };
        let handler = NotificationsHandler::new(&place.store, arguments);
        Self { place, handler }
    }

    async fn hear<E: Event>(&self, event: &E) -> Decisions {
        self.place.hear(&self.handler, event).await
    }

    /// `kind state` of each mail of an order.
    async fn mails(&self, order_id: &str) -> Vec<String> {
        let query = sql(
            "select kind, state, event from notification_mails where order_id = $1 order by kind",
        );
        let rows = self
            .place
            .store
            .fetch(&query.bind(order_id.to_owned()))
            .await;
        let rows = rows.expect("mails");
        let mails = rows.iter().map(|row| {
            let (kind, state) = (row.text(0).expect("kind"), row.text(1).expect("state"));
            assert_eq!(
                row.text(2).is_some(),
                state == "waiting",
                "an event is kept while it waits"
            );
            format!("{kind} {state}")
        });
        mails.collect()
    }
}

fn ada(seconds: i64) -> UserCreated {
    UserCreated {
        user_id: "u-7".to_owned(),
        email: "ada@example.org".to_owned(),
        name: "Ada".to_owned(),
        role: Role::Customer,
        created_at: after(seconds),
    }
}

fn moved(email: &str, seconds: i64) -> UserUpdated {
    UserUpdated {
        user_id: "u-7".to_owned(),
        email: email.to_owned(),
        name: "Ada".to_owned(),
        role: Role::Customer,
        updated_at: after(seconds),
    }
}

fn gone(seconds: i64) -> UserDeleted {
    UserDeleted {
        user_id: "u-7".to_owned(),
        deleted_at: after(seconds),
    }
}

fn due(id: &str, kind: MailKind) -> OrderMailDue {
    OrderMailDue {
        order_id: id.to_owned(),
        kind,
        due_at: after(60),
    }
}

/// To whom and with which subject mails go.
fn sent(decided: &Decisions) -> Vec<(String, String)> {
    let jobs = decided.published::<NewJob<Email>>().into_iter();
    assert_eq!(
        jobs.len(),
        decided.records().len(),
        "nothing else is published"
    );
    jobs.map(|job| (job.payload.to, job.payload.subject))
        .collect()
}

fn to_ada(subject: &str) -> (String, String) {
    ("ada@example.org".to_owned(), subject.to_owned())
}

/// The names of the timers that are set.
fn waits(decided: &Decisions) -> Vec<&str> {
    let timers = decided.timers().iter().filter_map(|timer| match timer {
        PendingTimer::Set { name, due_at, .. } => {
            assert_eq!(*due_at, after(60));
            name.as_deref()
        }
        PendingTimer::Cancel(_) => None,
    });
    timers.collect()
}

#[tokio::test]
async fn each_event_of_an_order_is_a_mail_to_its_user() {
    let post = Post::open(None).await;
    post.hear(&ada(0)).await;

    let mails = [
        post.hear(&created("o-1", 0)).await,
        post.hear(&paid("o-1", 1)).await,
        post.hear(&shipped("o-1", 2)).await,
        post.hear(&delivered("o-1", 3)).await,
        post.hear(&cancelled("o-2", CancelReason::Expired, 3)).await,
    ];

    let mails: Vec<_> = mails.iter().flat_map(sent).collect();
    assert_eq!(
        mails,
        [
            to_ada("We have your order o-1"),
            to_ada("Your order o-1 is paid"),
            to_ada("Your order o-1 is on its way"),
            to_ada("Your order o-1 has arrived"),
        ],
        "whose o-2 is, nobody knows"
    );
}

#[tokio::test]
async fn another_event_of_a_kind_is_no_other_mail() {
    let post = Post::open(None).await;
    post.hear(&ada(0)).await;
    post.hear(&created("o-1", 0)).await;
    post.hear(&paid("o-1", 1)).await;

    let again = [
        post.hear(&created("o-1", 9)).await,
        post.hear(&paid("o-1", 9)).await,
    ];

    assert!(
        again
            .iter()
            .all(|again| again.records().is_empty() && again.timers().is_empty())
    );
    assert_eq!(
        post.mails("o-1").await,
        ["confirmation queued", "paid queued"]
    );
}

#[tokio::test]
async fn mails_of_an_order_that_was_not_heard_of_wait_for_it_and_go_in_their_order() {
    let post = Post::open(None).await;
    post.hear(&ada(0)).await;
    let early = [
        post.hear(&delivered("o-1", 3)).await,
        post.hear(&paid("o-1", 1)).await,
    ];

    let decided = post.hear(&created("o-1", 0)).await;

    assert_eq!(early.each_ref().map(waits), [["delivered"], ["paid"]]);
    assert!(early.iter().all(|early| sent(early).is_empty()));
    assert_eq!(
        sent(&decided),
        [
            to_ada("We have your order o-1"),
            to_ada("Your order o-1 is paid"),
            to_ada("Your order o-1 has arrived"),
        ]
    );
    let cancel = |name: &str| PendingTimer::Cancel(name.to_owned());
    assert_eq!(decided.timers(), [cancel("paid"), cancel("delivered")]);
    let late = post.hear(&due("o-1", MailKind::Paid)).await;
    assert!(late.records().is_empty() && late.writes().is_empty());
}

#[tokio::test]
async fn a_mail_to_an_unknown_user_goes_when_the_user_is_known_at_its_time() {
    let post = Post::open(None).await;
    let early = post.hear(&created("o-1", 0)).await;
    let user = post.hear(&ada(0)).await;

    let decided = post.hear(&due("o-1", MailKind::Confirmation)).await;
    let again = post.hear(&due("o-1", MailKind::Confirmation)).await;

    assert_eq!(waits(&early), ["confirmation"]);
    assert!(user.records().is_empty());
    assert_eq!(sent(&decided), [to_ada("We have your order o-1")]);
    assert!(again.records().is_empty());
}

#[tokio::test]
async fn who_stays_unknown_is_told_at_the_address_of_the_pattern() {
    let post = Post::open(Some("{userId}@example.com")).await;
    post.hear(&created("o-1", 0)).await;
    let mut odd = created("o-2", 0);
    odd.user_id = "u@7".to_owned();
    post.hear(&odd).await;

    let usual = post.hear(&due("o-1", MailKind::Confirmation)).await;
    let odd = post.hear(&due("o-2", MailKind::Confirmation)).await;

    let mail = usual.the_only::<NewJob<Email>>().payload;
    assert_eq!(mail.to, "u-7@example.com");
    assert!(mail.text.starts_with("Hello,\n"), "{}", mail.text);
    assert!(odd.records().is_empty());
    assert_eq!(post.mails("o-2").await, ["confirmation no_user"]);
}

#[tokio::test]
async fn what_cannot_be_addressed_in_time_is_skipped_for_good() {
    let post = Post::open(None).await;
    post.hear(&created("o-1", 0)).await;
    post.hear(&shipped("o-2", 0)).await;

    post.hear(&due("o-1", MailKind::Confirmation)).await;
    post.hear(&due("o-2", MailKind::Shipped)).await;
    post.hear(&ada(0)).await;
    let late = post.hear(&created("o-2", 0)).await;

    assert_eq!(post.mails("o-1").await, ["confirmation no_user"]);
    assert_eq!(sent(&late), [to_ada("We have your order o-2")]);
    assert_eq!(
        post.mails("o-2").await,
        ["confirmation queued", "shipped no_order"]
    );
}

#[tokio::test]
async fn who_is_gone_is_told_nothing_and_stays_gone() {
    let post = Post::open(Some("{userId}@example.com")).await;
    post.hear(&created("o-1", 0)).await;
    post.hear(&ada(0)).await;
    post.hear(&gone(1)).await;
    post.hear(&moved("ada@example.net", 2)).await;

    let decided = post.hear(&paid("o-1", 3)).await;

    assert!(decided.records().is_empty());
    assert_eq!(
        post.mails("o-1").await,
        ["confirmation user_gone", "paid user_gone"]
    );
    let left = sql("select 1 from notification_users where email is not null or name is not null");
    let left = post.place.store.fetch(&left).await.expect("users");
    assert!(left.is_empty(), "nothing is kept of who it was");
}

#[tokio::test]
async fn the_latest_address_counts_in_whatever_turn_it_is_heard() {
    for late_first in [false, true] {
        let post = Post::open(None).await;
        // At the same time as the sign-up: the update still comes after it.
        let (now, later) = (moved("now@example.org", 0), moved("later@example.org", 5));
        if late_first {
            post.hear(&later).await;
        }
        post.hear(&now).await;
        post.hear(&ada(0)).await;
        let first = post.hear(&created("o-1", 0)).await;
        post.hear(&later).await;
        let second = post.hear(&created("o-2", 0)).await;

        let first = first.the_only::<NewJob<Email>>().payload.to;
        let second = second.the_only::<NewJob<Email>>().payload.to;
        let expected = if late_first {
            "later@example.org"
        } else {
            "now@example.org"
        };
        assert_eq!((&*first, &*second), (expected, "later@example.org"));
    }
}

#[tokio::test]
async fn a_mail_is_the_same_job_whoever_adds_it() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let post = Post::open(None).await;
        post.hear(&ada(0)).await;
        let decided = post.hear(&created("o-1", 0)).await;
        ids.push(decided.the_only::<NewJob<Email>>().job_id);
        ids.push(
            post.hear(&paid("o-1", 0))
                .await
                .the_only::<NewJob<Email>>()
                .job_id,
        );
    }
    assert_eq!(ids[..2], ids[2..]);
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn what_customers_write_is_text_in_html_and_one_line_in_a_subject() {
    let post = Post::open(None).await;
    let mut user = ada(0);
    user.name = "<b>Ada</b> & Co".to_owned();
    post.hear(&user).await;
    let mut order = created("o-1\r\nBcc: all@example.org", 0);
    order.items[0].sku = "<script>".to_owned();

    let mail = post.hear(&order).await.the_only::<NewJob<Email>>().payload;

    let html = mail.html.expect("HTML");
    assert!(
        html.contains("Hello &lt;b&gt;Ada&lt;") && html.contains("&gt; &amp; Co,"),
        "{html}"
    );
    assert!(
        html.contains("&lt;script&gt;") && !html.contains("<script>"),
        "{html}"
    );
    assert!(!mail.subject.contains(['\r', '\n']), "{:?}", mail.subject);
    assert!(
        mail.text.contains("Hello <b>Ada</b> & Co,"),
        "{}",
        mail.text
    );
}

#[tokio::test]
async fn a_confirmation_reads_well() {
    let post = Post::open(None).await;
    post.hear(&ada(0)).await;

    let decided = post.hear(&created("o-1", 0)).await;

    let mail = decided.the_only::<NewJob<Email>>().payload;
    assert_eq!(
        mail.text,
        "Hello Ada,\n\nthank you, we have your order:\n\n  2 x CD-12, 14.66 USD each\n\nTotal: 29.32 USD\n\nYour order: o-1"
    );
}
