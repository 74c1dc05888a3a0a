//! Where mails go to whose user nobody has told of.

use std::str::FromStr;

/// Stands for the user's id in a pattern.
const PLACE: &str = "{userId}";
/// Bytes of the part of an address before the `@` (RFC 5321, section 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;

/// An address, or one with `{userId}` in it for the user's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPattern(String);

impl AddressPattern {
    /// The address of a user. `None` if the id has anything in it that could make another address of it.
    pub fn address(&self, user_id: &str) -> Option<String> {
        if !self.0.contains(PLACE) {
            return Some(self.0.clone());
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let fits = !user_id.is_empty() && user_id.bytes().all(plain);
        let address = fits.then(|| self.0.replace(PLACE, user_id))?;
        let (local, _) = address.split_once('@')?;
        (local.len() <= MAX_LOCAL_BYTES).then_some(address)
    }
}

impl FromStr for AddressPattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('@') {
            Some((local, domain)) if !local.is_empty() && !domain.is_empty() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err("write an address, such as {userId}@example.com"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(pattern: &str, user_id: &str) -> Option<String> {
        pattern
            .parse::<AddressPattern>()
            .expect("a pattern")
            .address(user_id)
    }

    #[test]
    fn the_users_id_stands_where_the_pattern_says() {
        let found = address("shop+{userId}@example.com", "u-7");
        assert_eq!(found.as_deref(), Some("shop+u-7@example.com"));
        let found = address("orders@example.com", "a b\n");
        assert_eq!(found.as_deref(), Some("orders@example.com"));
    }

    #[test]
    fn an_id_that_would_change_the_address_makes_none() {
        for user_id in [
            "",
            "a@b",
            "a b",
            "a,b",
            "a\r\nBcc: b",
            "ü",
            ".a",
            &"x".repeat(65),
        ] {
            assert_eq!(
                address("{userId}@example.com", user_id),
                None,
                "{user_id:?}"
            );
        }
        assert!("example.com".parse::<AddressPattern>().is_err());
    }
}
