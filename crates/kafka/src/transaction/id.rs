//! The transactional id of an instance: one that no instance of another group can have.

/// Stands between group and instance.
const SEPARATOR: char = '/';

/// `<group>/<instance>`, where neither has a `/` of its own any more: which part is which can be told from the id, and
/// what begins with `<group>/` is of that group. Nobody but the broker reads it, which takes any characters.
pub(super) fn transactional_id(group: &str, instance: &str) -> String {
    format!("{}{SEPARATOR}{}", escaped(group), escaped(instance))
}

/// As in URLs, for the separator and for what escapes it.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace(SEPARATOR, "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn ordinary_names_stand_there_as_they_are() {
        assert_eq!(
            transactional_id("order-paid", "order-paid-1"),
            "order-paid/order-paid-1"
        );
    }

    #[test]
    fn no_two_instances_share_an_id_whatever_their_names_are() {
        let names = [
            "a", "b", "c", "a-b", "b-c", "a/b", "b/c", "/", "a/", "/c", "%", "a%", "%2F", "a%2Fb",
            "%252F", "a%b", "",
        ];
        let mut taken = HashMap::new();
        for group in names {
            for instance in names {
                let id = transactional_id(group, instance);
                let other = taken.insert(id.clone(), (group, instance));
                assert_eq!(other, None, "{id} is also that of {group:?}, {instance:?}");
            }
        }
    }

    #[test]
    fn what_begins_with_a_group_and_the_separator_is_of_that_group() {
        for other in ["a-b", "a/b", "ab", "a%2Fb"] {
            assert!(!transactional_id(other, "c").starts_with("a/"), "{other}");
        }
        assert!(transactional_id("a", "b/c").starts_with("a/"));
    }
}
