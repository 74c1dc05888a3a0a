//! What the API keeps in its own store: users, and the orders that were placed through it.

use longshore_store::{COMMAND_TABLES, Migration};

/// The tables of the API's store.
pub const MIGRATIONS: &[Migration] = &[
    COMMAND_TABLES,
    Migration {
        module: "api",
        version: 1,
        name: "users and orders",
        sql: "
            create table users (
                user_id text not null primary key,
                email text not null,
                email_key text not null unique,
                name text not null,
                role text not null,
                password_hash text not null,
                version bigint not null,
                created_at bigint not null,
                updated_at bigint not null
            );
            create index users_created on users (created_at, user_id);
            create table orders (
                order_id text not null primary key,
                idempotency_key text not null unique,
                user_id text not null,
                items text not null,
                amount bigint not null,
                currency text not null,
                created_at bigint not null
            );
        ",
    },
    Migration {
        module: "api",
        version: 2,
        name: "an index for the users of a role",
        sql: "create index users_role on users (role, created_at, user_id);",
    },
];
