//! The projection of orders: what their events have told, laid out as it is asked for.

mod projection;
pub use projection::OrderViewHandler;

mod order;
pub use order::{Order, OrderStatus, TimelineEntry};

mod read;
pub use read::OrderView;

use longshore_store::Migration;

/// The tables of the projection.
pub const VIEW_MIGRATIONS: &[Migration] = &[
    Migration {
        module: "order-view",
        version: 1,
        name: "orders and their timelines",
        sql: "
        create table order_view (
            order_id text not null primary key,
            status text not null,
            rank bigint not null,
            user_id text,
            items text,
            amount bigint,
            currency text,
            payment_id text,
            carrier text,
            tracking_number text,
            cancel_reason text,
            created_at bigint not null,
            updated_at bigint not null
        );
        create index order_view_created on order_view (created_at, order_id);
        create index order_view_user on order_view (user_id, created_at);
        create table order_timeline (
            order_id text not null,
            event_source text not null,
            event_id text not null,
            event text not null,
            rank bigint not null,
            at bigint not null,
            correlation_id text not null,
            primary key (order_id, event_source, event_id)
        );
    ",
    },
    Migration {
        module: "order-view",
        version: 2,
        name: "an index for each list of orders",
        sql: "
        create index order_view_status on order_view (status, created_at, order_id);
        drop index order_view_user;
        create index order_view_user on order_view (user_id, created_at, order_id);
    ",
    },
];
