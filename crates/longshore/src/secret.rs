//! Values of the command line that may hold a password: what is wrong with one is told without the value.

use std::ffi::OsStr;
use std::fmt::Display;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};

/// A parser for a flag whose value may hold a password. clap's own repeat a value that is wrong in the error, and so in the
/// logs. Such a flag has `hide_env_values`, too, or `--help` would print it.
pub fn secret<T, E, F>(parse: F) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
    E: Display,
    F: Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
{
    Secret(parse)
}

#[derive(Clone)]
struct Secret<F>(F);

impl<T, E, F> TypedValueParser for Secret<F>
where
    T: Clone + Send + Sync + 'static,
    E: Display,
    F: Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        flag: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let flag = flag.map_or_else(String::new, ToString::to_string);
        let wrong = |reason: &dyn Display| {
            let text = format!("invalid value for '{flag}': {reason}\n");
            clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command)
        };
        let text = value.to_str().ok_or_else(|| wrong(&"it is no UTF-8"))?;
        (self.0)(text).map_err(|error| wrong(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_not_repeated() {
        let number = secret(str::parse::<u8>);
        let flag = Arg::new("n").long("number").value_parser(number);
        let command = Command::new("test").arg(flag);
        let parsed = command
            .clone()
            .try_get_matches_from(["test", "--number", "7"]);
        assert_eq!(parsed.expect("valid").get_one::<u8>("n"), Some(&7));

        let parsed = command.try_get_matches_from(["test", "--number", "hush"]);
        let error = parsed.expect_err("no number");
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(
            text.contains("--number") && text.contains("invalid digit"),
            "{text}"
        );
        assert!(!text.contains("hush"), "{text}");
    }
}
