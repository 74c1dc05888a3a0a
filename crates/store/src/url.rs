//! Where a store is: `sqlite:PATH` or `postgres://user:password@host/database`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::any::AnyConnectOptions;

/// The address of a store. Neither `Display` nor `Debug` shows a password.
#[derive(Clone)]
pub struct StoreUrl(pub(crate) Place);

#[derive(Clone)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    Postgres(Box<AnyConnectOptions>),
}

impl StoreUrl {
    /// The SQLite file at `path`.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Place::Sqlite(path.into()))
    }

    /// Whether several processes can use it at once.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Place::Postgres(_))
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            // `sqlite://` is what other tools want to see; it means the same path.
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(StoreUrlError::NoPath),
                ":memory:" => Err(StoreUrlError::Memory),
                path => Ok(Self::sqlite(path)),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = text
                .parse::<AnyConnectOptions>()
                .map_err(|error| StoreUrlError::Postgres(Box::new(error)))?;
            return Ok(Self(Place::Postgres(Box::new(options))));
        }
        Err(StoreUrlError::Scheme)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Place::Postgres(options) => {
                // The query is left out as a whole: `?password=` is allowed there too.
                let url = &options.database_url;
                write!(f, "postgres://")?;
                if !url.username().is_empty() {
                    write!(f, "{}@", url.username())?;
                }
                write!(f, "{}", url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                write!(f, "{}", url.path())
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// Text that is no address of a store. The text is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum StoreUrlError {
    /// Neither of the two databases.
    #[error("a store is `sqlite:PATH` or `postgres://user:password@host/database`")]
    Scheme,
    /// `sqlite:` without a file.
    #[error("`sqlite:` needs the path of a file, as in `sqlite:data/orders.db`")]
    NoPath,
    /// A database that is gone with its process cannot be the memory of what was done.
    #[error(
        "`sqlite::memory:` would forget at every restart; give the path of a file, as in `sqlite:data/orders.db`"
    )]
    Memory,
    /// Not a URL.
    #[error(
        "not a valid postgres:// URL; special characters in user and password must be percent-encoded"
    )]
    Postgres(#[source] Box<sqlx::Error>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for text in [
            "postgres://user:s3cret@db.example:5433/shop?sslmode=require",
            "postgresql://user@db.example:5433/shop?password=s3cret",
        ] {
            let url: StoreUrl = text.parse().expect("valid");
            assert_eq!(url.to_string(), "postgres://user@db.example:5433/shop");
            assert!(!format!("{url:?}").contains("s3cret"));
        }
    }

    #[test]
    fn both_spellings_of_a_sqlite_path_mean_the_same() {
        let short: StoreUrl = "sqlite:data/a b.db".parse().expect("valid");
        let long: StoreUrl = "sqlite://data/a b.db".parse().expect("valid");
        assert_eq!(short.to_string(), "sqlite:data/a b.db");
        assert_eq!(long.to_string(), short.to_string());
    }

    #[test]
    fn what_is_no_store_is_told_without_repeating_it() {
        for text in [
            "",
            "mysql://u:s3cret@h/d",
            "sqlite:",
            "sqlite::memory:",
            "postgres://u:s3cret@:x/",
        ] {
            let error = text.parse::<StoreUrl>().expect_err("refused");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
