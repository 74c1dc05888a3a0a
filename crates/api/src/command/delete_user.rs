//! A user leaves, and with it what is known of it.

use longshore_orders::UserDeleted;
use longshore_worker::{Origin, StoreError};

use super::{Commands, change_of_user, now};
use crate::user::deletion;
use crate::{Command, Fault, Handles};

/// Changes that may come between reading a user and deleting it; then it is refused as a fault.
const TRIES: usize = 5;

/// The wish that a user be gone.
#[derive(Clone, Debug)]
pub struct DeleteUser {
    /// The user.
    pub user_id: String,
}

/// Why nobody is gone.
#[derive(Debug, thiserror::Error)]
pub enum DeleteUserError {
    /// There is no such user.
    #[error("there is no user {0}")]
    NotFound(String),
    /// Nobody is to blame.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Command for DeleteUser {
    type Output = ();
    type Error = DeleteUserError;

    const NAME: &'static str = "delete-user";
}

impl Handles<DeleteUser> for Commands {
    async fn handle(&self, command: DeleteUser, origin: &Origin) -> Result<(), DeleteUserError> {
        let user_id = command.user_id;
        for _ in 0..TRIES {
            let found = self.users.find_stored(&user_id).await;
            let Some(before) = found.map_err(Fault::from)? else {
                return Err(DeleteUserError::NotFound(user_id));
            };
            let identity = change_of_user(&user_id, before.version + 1);
            let mut effects = self.outbox.effects(identity, origin);
            effects.write(deletion(&user_id));
            let deleted = UserDeleted {
                user_id: user_id.clone(),
                deleted_at: now(&self.clock),
            };
            effects.publish(&deleted).map_err(Fault::from)?;
            match self.outbox.commit(effects).await {
                Ok(()) => {
                    self.cache.forget(&user_id);
                    return Ok(());
                }
                Err(StoreError::Duplicate) => {}
                Err(error) => return Err(Fault::from(error).into()),
            }
        }
        Err(Fault::Unavailable(StoreError::Unavailable("the user keeps changing".into())).into())
    }
}
