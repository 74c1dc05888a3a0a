//! Users, in the API's own store: it is where they are made, changed and deleted.

use jiff::Timestamp;
use longshore_orders::Role;
use longshore_store::{Row, SqlStore};
use longshore_worker::{Statement, StoreError, sql};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filter::Filter;
use crate::query::{ListUsers, Page};

/// A user, without what is nobody's concern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The user.
    pub user_id: String,
    /// Where mails go; no two users share one.
    pub email: String,
    /// How mails address the user.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// When the user signed up.
    pub created_at: Timestamp,
    /// When anything of this was changed last.
    pub updated_at: Timestamp,
}

/// A user as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredUser {
    pub(crate) user: User,
    /// An argon2 hash in its usual text form.
    pub(crate) password_hash: String,
    /// Counts the changes. Each is a command of its own name, so no two of them take effect on the same version.
    pub(crate) version: i64,
}

const COLUMNS: &str =
    "user_id, email, name, role, created_at, updated_at, password_hash, version, email_key";

/// The users in the API's own store.
#[derive(Clone, Debug)]
pub struct UserTable {
    store: SqlStore,
}

impl UserTable {
    /// The users in `store`, which was opened with [`MIGRATIONS`](crate::MIGRATIONS).
    pub fn new(store: SqlStore) -> Self {
        Self { store }
    }

    /// A user.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, user_id: &str) -> Result<Option<User>, StoreError> {
        Ok(self.find_stored(user_id).await?.map(|stored| stored.user))
    }

    pub(crate) async fn find_stored(
        &self,
        user_id: &str,
    ) -> Result<Option<StoredUser>, StoreError> {
        let query = sql(format!("select {COLUMNS} from users where user_id = $1"));
        let row = self
            .store
            .fetch_optional(&query.bind(user_id.to_owned()))
            .await?;
        Ok(row.and_then(|row| stored(&row)))
    }

    /// Users that match, the latest first, and how many there are.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, list: &ListUsers) -> Result<Page<User>, StoreError> {
        let role = list.role.map(|role| role_name(role).to_owned());
        let filter = Filter::of([("role", role)]);
        let (matching, slice) = (filter.text(), filter.slice());
        let page = sql(format!(
            "select {COLUMNS} from users {matching} order by created_at desc, user_id desc {slice}"
        ));
        let page = filter.bind(page).bind(list.slice.limit);
        let rows = self.store.fetch(&page.bind(list.slice.offset())).await?;
        let count = sql(format!("select count(*) from users {matching}"));
        let total = self.store.fetch_optional(&filter.bind(count)).await?;
        Ok(Page {
            items: rows
                .iter()
                .filter_map(|row| Some(stored(row)?.user))
                .collect(),
            page: list.slice.page,
            limit: list.slice.limit,
            total: total.and_then(|row| row.integer(0)).unwrap_or(0),
        })
    }
}

impl StoredUser {
    pub(crate) fn insertion(&self) -> Statement {
        let statement = sql(format!(
            "insert into users ({COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        ));
        self.bind(statement)
    }

    pub(crate) fn update(&self) -> Statement {
        self.bind(sql(
            "update users set email = $2, name = $3, role = $4, created_at = $5, updated_at = $6, password_hash = $7,
                 version = $8, email_key = $9 where user_id = $1",
        ))
    }

    /// One parameter for each of [`COLUMNS`].
    fn bind(&self, statement: Statement) -> Statement {
        let user = &self.user;
        statement
            .bind(&user.user_id)
            .bind(&user.email)
            .bind(&user.name)
            .bind(role_name(user.role))
            .bind(user.created_at.as_millisecond())
            .bind(user.updated_at.as_millisecond())
            .bind(&self.password_hash)
            .bind(self.version)
            .bind(user.email.to_ascii_lowercase())
    }
}

pub(crate) fn deletion(user_id: &str) -> Statement {
    sql("delete from users where user_id = $1").bind(user_id.to_owned())
}

fn stored(row: &Row) -> Option<StoredUser> {
    let text = |column| row.text(column).map(str::to_owned);
    let time = |column| Timestamp::from_millisecond(row.integer(column)?).ok();
    Some(StoredUser {
        user: User {
            user_id: text(0)?,
            email: text(1)?,
            name: text(2)?,
            role: role(row.text(3)?)?,
            created_at: time(4)?,
            updated_at: time(5)?,
        },
        password_hash: text(6)?,
        version: row.integer(7)?,
    })
}

/// The name of a role, in JSON and in the database.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Admin => "admin",
    }
}

/// The role of a name.
pub(crate) fn role(name: &str) -> Option<Role> {
    [Role::Customer, Role::Admin]
        .into_iter()
        .find(|role| role_name(*role) == name)
}
