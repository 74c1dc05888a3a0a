//! Which topic names are legal; the rule is Kafka's (`org.apache.kafka.common.internals.Topic`).

/// The longest legal topic name, in bytes.
const MAX_NAME_BYTES: usize = 249;

/// Says what is wrong with `name` as the name of a topic; `None` when nothing is.
pub fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("a topic name must not be empty".into());
    }
    if name == "." || name == ".." {
        return Some(format!("{name:?} is no topic name"));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(illegal) = name.chars().find(|c| !legal(*c)) {
        return Some(format!(
            "topic name {name:?} contains {illegal:?}; use letters, digits, '.', '_' and '-'"
        ));
    }
    (name.len() > MAX_NAME_BYTES).then(|| {
        format!(
            "a topic name has at most {MAX_NAME_BYTES} characters, this one has {}",
            name.len()
        )
    })
}

/// Two names with the same one of these cannot be in one cluster: Kafka's metrics do not tell '.' from '_', so the
/// controller refuses the second.
pub(crate) fn collision_name(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_of_kafka() {
        for legal in ["a", "order.created", "A_b-C.9", &"x".repeat(249)] {
            assert_eq!(name_fault(legal), None, "{legal}");
        }
        for illegal in ["", ".", "..", "a b", "a/b", "é", &"x".repeat(250)] {
            assert!(name_fault(illegal).is_some(), "{illegal}");
        }
    }

    #[test]
    fn a_dot_and_an_underscore_collide() {
        assert_eq!(collision_name("a.b"), collision_name("a_b"));
        assert_ne!(collision_name("a.b"), collision_name("a-b"));
    }
}
