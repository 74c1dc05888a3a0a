//! Static members (KIP-345): away and back without a rebalance.

use super::*;

fn static_join(name: &str, instance: &str) -> Join {
    Join {
        instance_id: Some(instance.into()),
        ..join(name)
    }
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let mut s = Simulation::new();
    let joins = [
        s.join(&static_join("a1", "a")),
        s.join(&static_join("b1", "b")),
    ];
    s.pass(INITIAL_DELAY);
    for call in joins {
        s.joined(call);
    }
    s.sync_all();

    let back = s.join(&static_join("b2", "b"));

    let joined = s.joined(back);
    assert_eq!((joined.generation, joined.member_id.as_str()), (1, "b2"));
    let sync = s.sync("b2", &[]);
    assert_eq!(
        s.assignment(sync),
        b"b1",
        "it keeps what its former self had"
    );
    let former = Caller {
        instance_id: Some("b".into()),
        ..s.caller("b1")
    };
    assert_eq!(
        s.group.heartbeat(&former, s.now),
        Err(ResponseError::FencedInstanceId)
    );
}

#[test]
fn a_static_leader_that_comes_back_does_not_assign_again() {
    let mut s = Simulation::new();
    let joins = [
        s.join(&static_join("a1", "a")),
        s.join(&static_join("b1", "b")),
    ];
    s.pass(INITIAL_DELAY);
    for call in joins {
        s.joined(call);
    }
    s.sync_all();

    let new_client = s.join(&static_join("a2", "a"));
    let told = s.joined(new_client);
    assert!(told.skip_assignment && told.leader == "a2" && told.members.len() == 2);

    let old_client = s.join(&Join {
        can_skip_assignment: false,
        ..static_join("a3", "a")
    });
    let told = s.joined(old_client);
    assert!(!told.skip_assignment && told.leader != told.member_id && told.members.is_empty());
}

#[test]
fn absent_static_members_keep_their_place_until_their_session_ends() {
    let mut s = Simulation::new();
    let joins = [
        s.join(&static_join("a1", "a")),
        s.join(&static_join("b1", "b")),
    ];
    s.pass(INITIAL_DELAY);
    for call in joins {
        s.joined(call);
    }
    s.sync_all();

    s.pass(SESSION - Duration::from_millis(1));
    assert_eq!(s.group.members.len(), 2);
    s.pass(Duration::from_millis(1));

    s.pass(REBALANCE);
    assert_eq!(s.group.state, State::Empty);
}

/// What a consumer tells of its topic `t`: that it wants it, and which partitions it has.
fn subscription(owned: &[u8]) -> Vec<Protocol> {
    let wants = b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff";
    vec![Protocol {
        name: "cooperative-sticky".into(),
        metadata: [wants, &partitions(owned)[..]].concat(),
    }]
}

/// Partitions of the topic `t`, as subscriptions and assignments have them.
fn partitions(numbers: &[u8]) -> Vec<u8> {
    let mut bytes = b"\0\0\0\x01\0\x01t\0\0\0".to_vec();
    bytes.push(numbers.len() as u8);
    bytes.extend(numbers.iter().flat_map(|number| [0, 0, 0, *number]));
    bytes
}

#[test]
fn a_static_member_that_had_partitions_to_let_go_makes_the_others_join_again() {
    for (assigned, rebalances) in [(&[0][..], true), (&[0, 1], false)] {
        let mut s = Simulation::new();
        let first = s.join(&Join {
            protocols: subscription(&[0, 1]),
            ..static_join("a1", "a")
        });
        s.pass(INITIAL_DELAY);
        s.joined(first);
        let assignment = [b"\0\x01", &partitions(assigned)[..]].concat();
        let actions = s.group.sync(
            Sync {
                call: 99,
                caller: s.caller("a1"),
                protocol_type: None,
                protocol: None,
                assignments: HashMap::from([("a1".into(), assignment)]),
            },
            s.now,
        );
        s.take(actions);
        assert!(s.group.is_stable());

        let back = s.join(&Join {
            protocols: subscription(&[]),
            ..static_join("a2", "a")
        });

        let generation = s.joined(back).generation;
        assert_eq!(generation, 1 + i32::from(rebalances), "{assigned:?}");
    }
}
