//! Parsers of single values of the command line. What they say of a wrong one says what is right.

use std::num::NonZeroU64;

/// How many, where none makes no sense.
pub(crate) fn whole_number(text: &str) -> Result<NonZeroU64, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| "write a whole number from 1 on".into())
}

/// The name of a topic or a group. An empty one is most likely a variable of a script that is not set.
pub(crate) fn name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a name cannot be empty".into()),
        _ => Ok(text.to_owned()),
    }
}

/// Where a worker answers: `127.0.0.1:8080`, `[::1]:8080`, `worker-1:8080`.
pub(crate) fn host_port(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once(':');
    let is_address = parts.is_some_and(|(host, port)| {
        let is_ipv6 = host.starts_with('[') && host.ends_with(']');
        let is_name = !host.is_empty() && !host.contains([':', '/', '@', ' ', '?', '#']);
        (is_name || is_ipv6) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match is_address {
        true => Ok(text.to_owned()),
        false => Err("write HOST:PORT, such as 127.0.0.1:8080, without http://".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_whole_and_not_zero() {
        assert_eq!(whole_number("10").map(NonZeroU64::get), Ok(10));
        for text in ["", "0", "-1", "+1", "1e3", "1.5", "99999999999999999999"] {
            let error = whole_number(text).expect_err(text);
            assert_eq!(error, "write a whole number from 1 on");
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for text in ["127.0.0.1:8080", "[::1]:8080", "worker-1:80"] {
            assert_eq!(host_port(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "worker-1",
            ":8080",
            "worker-1:",
            "worker-1:0",
            "worker-1:http",
            "::1:8080",
            "http://worker-1:8080",
            "worker-1:8080/status",
        ] {
            assert!(host_port(text).is_err(), "{text}");
        }
    }
}
