//! A user changes.

use longshore_orders::{Role, UserUpdated};
use longshore_worker::{Origin, StoreError};

use super::{Commands, Password, change_of_user, now};
use crate::fault::is_taken;
use crate::user::StoredUser;
use crate::{Command, Fault, Handles, User};

/// Changes of others that may come between reading a user and changing it; then the change is refused as a fault.
const TRIES: usize = 5;

/// The wish to change a user. What is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct UpdateUser {
    /// The user.
    pub user_id: String,
    /// Where mails go.
    pub email: Option<String>,
    /// How mails address the user.
    pub name: Option<String>,
    /// What the user may do.
    pub role: Option<Role>,
    /// What the user will log in with.
    pub password: Option<Password>,
}

/// Why the user is as before.
#[derive(Debug, thiserror::Error)]
pub enum UpdateUserError {
    /// There is no such user.
    #[error("there is no user {0}")]
    NotFound(String),
    /// Another user has the address.
    #[error("another user has this email address")]
    EmailTaken,
    /// Nobody is to blame.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Command for UpdateUser {
    type Output = User;
    type Error = UpdateUserError;

    const NAME: &'static str = "update-user";
}

impl Handles<UpdateUser> for Commands {
    async fn handle(&self, command: UpdateUser, origin: &Origin) -> Result<User, UpdateUserError> {
        let hash = match command.password.clone() {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        for _ in 0..TRIES {
            let found = self.users.find_stored(&command.user_id).await;
            let Some(before) = found.map_err(Fault::from)? else {
                return Err(UpdateUserError::NotFound(command.user_id));
            };
            let after = self.changed(&before, &command, hash.as_ref());
            if after.user == before.user && hash.is_none() {
                return Ok(before.user);
            }
            match self.change(&after, origin).await {
                Ok(()) => return Ok(after.user),
                Err(StoreError::Duplicate) => {}
                Err(error) if is_taken(&error) => return Err(UpdateUserError::EmailTaken),
                Err(error) => return Err(Fault::from(error).into()),
            }
        }
        Err(Fault::Unavailable(StoreError::Unavailable("the user keeps changing".into())).into())
    }
}

impl Commands {
    fn changed(
        &self,
        before: &StoredUser,
        command: &UpdateUser,
        hash: Option<&String>,
    ) -> StoredUser {
        let mut after = before.clone();
        if let Some(email) = &command.email {
            after.user.email.clone_from(email);
        }
        if let Some(name) = &command.name {
            after.user.name.clone_from(name);
        }
        if let Some(role) = command.role {
            after.user.role = role;
        }
        if let Some(hash) = hash {
            after.password_hash.clone_from(hash);
        }
        if after.user != before.user || hash.is_some() {
            after.user.updated_at = now(&self.clock);
            after.version += 1;
        }
        after
    }

    async fn change(&self, after: &StoredUser, origin: &Origin) -> Result<(), StoreError> {
        let user = &after.user;
        let identity = change_of_user(&user.user_id, after.version);
        let mut effects = self.outbox.effects(identity, origin);
        effects.write(after.update());
        let updated = UserUpdated {
            user_id: user.user_id.clone(),
            email: user.email.clone(),
            name: user.name.clone(),
            role: user.role,
            updated_at: user.updated_at,
        };
        let published = effects.publish(&updated);
        published.map_err(|error| StoreError::Rejected(error.into()))?;
        self.outbox.commit(effects).await?;
        self.cache.forget(&user.user_id);
        Ok(())
    }
}
