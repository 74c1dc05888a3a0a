//! Somebody signs up.

use longshore_orders::{Role, UserCreated};
use longshore_worker::{Origin, StoreError};
use uuid::Uuid;

use super::{Commands, Password, change_of_user, now};
use crate::fault::is_taken;
use crate::user::StoredUser;
use crate::{Command, Fault, Handles, User};

/// The wish to sign up.
#[derive(Clone, Debug)]
pub struct CreateUser {
    /// Where mails go.
    pub email: String,
    /// How mails address the user.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// What the user will log in with.
    pub password: Password,
}

/// Why there is no such user.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserError {
    /// Another user has the address.
    #[error("another user has this email address")]
    EmailTaken,
    /// Nobody is to blame.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Command for CreateUser {
    type Output = User;
    type Error = CreateUserError;

    const NAME: &'static str = "create-user";
}

impl Handles<CreateUser> for Commands {
    async fn handle(&self, command: CreateUser, origin: &Origin) -> Result<User, CreateUserError> {
        let now = now(&self.clock);
        let user = User {
            user_id: Uuid::now_v7().to_string(),
            email: command.email,
            name: command.name,
            role: command.role,
            created_at: now,
            updated_at: now,
        };
        let stored = StoredUser {
            password_hash: self.passwords.hash(command.password).await?,
            version: 1,
            user: user.clone(),
        };
        let identity = change_of_user(&user.user_id, stored.version);
        let mut effects = self.outbox.effects(identity, origin);
        effects.write(stored.insertion());
        let created = UserCreated {
            user_id: user.user_id.clone(),
            email: user.email.clone(),
            name: user.name.clone(),
            role: user.role,
            created_at: now,
        };
        effects.publish(&created).map_err(Fault::from)?;
        match self.outbox.commit(effects).await {
            Ok(()) => Ok(user),
            Err(error) => Err(refusal(error)),
        }
    }
}

fn refusal(error: StoreError) -> CreateUserError {
    if is_taken(&error) {
        return CreateUserError::EmailTaken;
    }
    Fault::from(error).into()
}
