//! Passwords: hashed with argon2id, a bounded number at once, and never shown.

use std::fmt;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHasher, SaltString};
use tokio::sync::Semaphore;

use crate::Fault;

/// A password in clear. It is not in any log: its debug form is empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password that has passed validation.
    pub fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Passwords hashed at once. Each takes 19 MiB and a processor for some 20 ms; others wait for their turn.
const AT_ONCE: usize = 4;

/// Hashes passwords with the parameters that OWASP recommends for argon2id, which are the crate's defaults.
#[derive(Clone, Debug)]
pub struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Passwords {
    /// The hash of a password under a fresh salt, in the usual text form (PHC).
    ///
    /// # Errors
    /// [`Fault::Defect`].
    pub async fn hash(&self, password: Password) -> Result<String, Fault> {
        let turn = self.0.clone().acquire_owned().await;
        let turn = turn.map_err(Fault::defect)?;
        let hashed = tokio::task::spawn_blocking(move || {
            // It goes on when nobody waits for it any longer, and so does its turn.
            let _turn = turn;
            let salt = SaltString::generate(&mut OsRng);
            let hash = Argon2::default().hash_password(password.0.as_bytes(), &salt);
            hash.map(|hash| hash.to_string())
        });
        hashed
            .await
            .map_err(Fault::defect)?
            .map_err(|error| Fault::defect(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::{PasswordHash, PasswordVerifier};

    #[tokio::test]
    async fn a_hash_is_argon2id_under_a_salt_of_its_own_and_verifies() {
        let passwords = Passwords::default();
        let secret = || Password::new("correct horse".to_owned());
        let one = passwords.hash(secret()).await.expect("hashed");
        let two = passwords.hash(secret()).await.expect("hashed");
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$"), "{one}");
        let parsed = PasswordHash::new(&one).expect("parses");
        let verify = |text: &str| Argon2::default().verify_password(text.as_bytes(), &parsed);
        assert!(verify("correct horse").is_ok() && verify("wrong horse").is_err());
        assert_eq!(format!("{:?}", secret()), "Password");
    }
}
