//! Transactional ids: one that no instance of another group can have for each instance, and some that none has.

/// Stands between group and instance.
const SEPARATOR: char = '/';

/// `<group>/<instance>`, where neither has a `/` of its own any more: which part is which can be told from the id, and
/// what begins with `<group>/` is of that group. Nobody but the broker reads it, which takes any characters.
pub(super) fn transactional_id(group: &str, instance: &str) -> String {
    format!("{}{SEPARATOR}{}", escaped(group), escaped(instance))
}

/// `<group>/<purpose>/longshore`, for what is done to a group by others than its instances: with one `/` more than an
/// instance's, it is no instance's id, and yet of that group. `purpose` has neither `/` nor `%`.
pub(super) fn tool_id(group: &str, purpose: &str) -> String {
    let group = escaped(group);
    format!("{group}{SEPARATOR}{purpose}{SEPARATOR}longshore")
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
    fn what_is_done_to_a_group_shares_no_id_with_an_instance_or_another_group() {
        assert_eq!(tool_id("shop", "redrive"), "shop/redrive/longshore");
        let names = [
            "shop",
            "redrive",
            "longshore",
            "redrive/longshore",
            "a/b",
            "%2F",
            "",
        ];
        for group in names {
            let id = tool_id(group, "redrive");
            assert!(id.starts_with(&format!("{}/", escaped(group))), "{id}");
            for other in names {
                assert!(other == group || tool_id(other, "redrive") != id, "{id}");
                for instance in names {
                    assert_ne!(transactional_id(other, instance), id);
                }
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
