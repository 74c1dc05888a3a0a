//! Which topic names are legal; the rule is Kafka's.

/// The longest legal topic name, in characters.
const MAX_NAME_LENGTH: usize = 249;

/// Says what is wrong with `name` as a topic name; `None` when nothing is.
pub(crate) fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("a topic name must not be empty".into());
    }
    if name == "." || name == ".." {
        return Some(format!("'{name}' is not a topic name"));
    }
    if name.len() > MAX_NAME_LENGTH {
        return Some(format!(
            "a topic name has at most {MAX_NAME_LENGTH} characters, this one has {}",
            name.len()
        ));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let illegal = name.chars().find(|c| !legal(*c))?;
    Some(format!(
        "topic name '{name}' has the character {illegal:?}; use letters, digits, '.', '_' and '-'"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_of_kafka() {
        for legal in ["a", "order.created", "A_b-C.9", &"x".repeat(249)] {
            assert_eq!(fault(legal), None, "{legal}");
        }
        for illegal in ["", ".", "..", "a b", "a/b", "é", &"x".repeat(250)] {
            assert!(fault(illegal).is_some(), "{illegal}");
        }
    }
}
