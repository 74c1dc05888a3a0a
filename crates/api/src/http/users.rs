//! `/users`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use longshore_orders::Role;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::Server;
use super::body::{Check, PLAIN, Valid, Validate};
use super::endpoint::Endpoint;
use super::operation::Operation;
use super::origin::RequestOrigin;
use super::parameters::{Id, Parameters};
use super::problem::{Kind, Problem};
use crate::User;
use crate::command::{CreateUser, DeleteUser, Password, UpdateUser};
use crate::query::{GetUser, ListUsers, Page, Slice};
use crate::user;

/// Something on both sides of the one `@`, all of it visible ASCII.
const ADDRESS: &str = "^[!-?A-~]+@[!-?A-~]+$";
const MAX_EMAIL: usize = 254;
const MAX_NAME: usize = 200;
const MIN_PASSWORD: usize = 8;
const MAX_PASSWORD: usize = 128;

/// Who signs up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewUser {
    /// Where mails go; no two users share one, whatever its case.
    #[schemars(length(min = 3, max = 254), regex(pattern = ADDRESS))]
    email: String,
    /// How mails address the user.
    #[schemars(
        length(min = 1, max = 200),
        regex(pattern = PLAIN)
    )]
    name: String,
    /// What the user may do.
    #[serde(default = "customer")]
    role: Role,
    /// What the user will log in with.
    #[schemars(length(min = 8, max = 128), extend("writeOnly" = true))]
    password: String,
}

/// What changes of a user; the rest stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UserChange {
    /// Where mails go; no two users share one, whatever its case.
    #[schemars(length(min = 3, max = 254), regex(pattern = ADDRESS))]
    email: Option<String>,
    /// How mails address the user.
    #[schemars(
        length(min = 1, max = 200),
        regex(pattern = PLAIN)
    )]
    name: Option<String>,
    /// What the user may do.
    role: Option<Role>,
    /// What the user will log in with.
    #[schemars(length(min = 8, max = 128), extend("writeOnly" = true))]
    password: Option<String>,
}

fn customer() -> Role {
    Role::Customer
}

impl Validate for NewUser {
    fn validate(&self, check: &mut Check) {
        email(&self.email, check);
        check.text(&self.name, MAX_NAME, "/name");
        password(&self.password, check);
    }
}

impl Validate for UserChange {
    fn validate(&self, check: &mut Check) {
        if let Some(text) = &self.email {
            email(text, check);
        }
        if let Some(name) = &self.name {
            check.text(name, MAX_NAME, "/name");
        }
        if let Some(text) = &self.password {
            password(text, check);
        }
    }
}

/// An address is what has something on both sides of its one `@`; whether mails arrive there, only a mail can tell.
fn email(text: &str, check: &mut Check) {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    let parts: Vec<&str> = text.split('@').collect();
    let is_address = visible
        && text.len() <= MAX_EMAIL
        && matches!(parts.as_slice(), [local, domain] if !local.is_empty() && !domain.is_empty());
    let detail = format!("must be an address of at most {MAX_EMAIL} visible ASCII characters");
    check.that(is_address, "/email", &detail);
}

fn password(text: &str, check: &mut Check) {
    let length = text.chars().count();
    let detail = format!("must have {MIN_PASSWORD} to {MAX_PASSWORD} characters");
    check.that(
        (MIN_PASSWORD..=MAX_PASSWORD).contains(&length),
        "/password",
        &detail,
    );
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let operation = |id, summary| Operation::new("users", id, summary);
    vec![
        Endpoint::post(
            "/users",
            create,
            operation("createUser", "Signs a user up")
                .takes::<NewUser>()
                .answers::<User>(StatusCode::CREATED, "The user")
                .leads_to(&[
                    ("getUser", "userId"),
                    ("updateUser", "userId"),
                    ("deleteUser", "userId"),
                ])
                .fails(&[Kind::EmailTaken]),
        ),
        Endpoint::get(
            "/users",
            list,
            paged(operation("listUsers", "Users, the latest first"))
                .query(
                    "role",
                    "Those of this role only",
                    json!({"type": "string", "enum": ["customer", "admin"]}),
                )
                .answers::<Page<User>>(StatusCode::OK, "A page of users"),
        ),
        Endpoint::get(
            "/users/{userId}",
            find,
            operation("getUser", "A user")
                .id("userId")
                .answers::<User>(StatusCode::OK, "The user"),
        ),
        Endpoint::patch(
            "/users/{userId}",
            change,
            operation("updateUser", "Changes a user")
                .id("userId")
                .takes::<UserChange>()
                .answers::<User>(StatusCode::OK, "The user as it is now")
                .fails(&[Kind::EmailTaken]),
        ),
        Endpoint::delete(
            "/users/{userId}",
            delete,
            operation(
                "deleteUser",
                "Deletes a user, and with it what is known of it",
            )
            .id("userId")
            .answers_nothing(StatusCode::NO_CONTENT, "The user is gone"),
        ),
    ]
}

/// `page` and `limit`.
pub(super) fn paged(operation: Operation) -> Operation {
    operation
        .query(
            "page",
            "Counted from 1",
            json!({"type": "integer", "minimum": 1, "maximum": Slice::MAX_PAGE, "default": 1}),
        )
        .query(
            "limit",
            "Items on a page",
            json!({"type": "integer", "minimum": 1, "maximum": Slice::MAX_LIMIT, "default": Slice::DEFAULT_LIMIT}),
        )
}

async fn create(
    State(server): State<Arc<Server>>,
    RequestOrigin(origin): RequestOrigin,
    Valid(body): Valid<NewUser>,
) -> Result<Response, Problem> {
    let command = CreateUser {
        email: body.email,
        name: body.name,
        role: body.role,
        password: Password::new(body.password),
    };
    let user = server.commands.send(command, &origin).await?;
    let location = format!("/users/{}", user.user_id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(user),
    )
        .into_response())
}

async fn list(
    State(server): State<Arc<Server>>,
    mut parameters: Parameters,
) -> Result<Json<Page<User>>, Problem> {
    let query = ListUsers {
        slice: parameters.slice(),
        role: parameters.read("role", |text| {
            user::role(text).ok_or_else(|| "must be `customer` or `admin`".to_owned())
        }),
    };
    parameters.finish()?;
    Ok(Json(server.queries.ask(query).await?))
}

async fn find(State(server): State<Arc<Server>>, Id(user_id): Id) -> Result<Json<User>, Problem> {
    let query = GetUser {
        user_id: user_id.clone(),
    };
    let user = server.queries.ask(query).await?;
    user.map(Json)
        .ok_or_else(|| Problem::not_found("user", &user_id))
}

async fn change(
    State(server): State<Arc<Server>>,
    RequestOrigin(origin): RequestOrigin,
    Id(user_id): Id,
    Valid(body): Valid<UserChange>,
) -> Result<Json<User>, Problem> {
    let command = UpdateUser {
        user_id,
        email: body.email,
        name: body.name,
        role: body.role,
        password: body.password.map(Password::new),
    };
    Ok(Json(server.commands.send(command, &origin).await?))
}

async fn delete(
    State(server): State<Arc<Server>>,
    RequestOrigin(origin): RequestOrigin,
    Id(user_id): Id,
) -> Result<StatusCode, Problem> {
    server
        .commands
        .send(DeleteUser { user_id }, &origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
