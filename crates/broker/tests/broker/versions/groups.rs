//! Groups: members, offsets and their administration.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest,
    DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, ListGroupsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::{group, name, text};
use crate::raw::RawClient;

pub(super) async fn find_coordinator(client: &mut RawClient, version: i16) {
    let request = FindCoordinatorRequest::default();
    if version < 4 {
        let request = request.with_key(text("g"));
        let answer = client.call(version, &request).await;
        assert_eq!((answer.error_code, answer.node_id.0), (0, 1));
        if version >= 1 {
            let answer = client.call(version, &request.with_key_type(1)).await;
            assert_eq!((answer.error_code, answer.node_id.0), (0, 1));
        }
    } else {
        let several = request.with_coordinator_keys(vec![text("g"), text("h")]);
        let answer = client.call(version, &several).await;
        assert_eq!(answer.coordinators.len(), 2);
        assert_eq!(
            (
                answer.coordinators[1].error_code,
                answer.coordinators[1].node_id.0
            ),
            (0, 1)
        );
    }
}

/// One member joins, syncs, lives and leaves; the versions are those of the four APIs.
pub(super) async fn membership(client: &mut RawClient, [join, sync, beat, leave]: [i16; 4]) {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"metadata"));
    let request = JoinGroupRequest::default()
        .with_group_id(group("members"))
        .with_session_timeout_ms(30_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let request = if join > 0 {
        request.with_rebalance_timeout_ms(5_000)
    } else {
        request
    };
    let mut joined = client.call(join, &request).await;
    if joined.error_code == 79 {
        assert!(join >= 4, "older clients do not know this error");
        joined = client
            .call(join, &request.with_member_id(joined.member_id))
            .await;
    }
    assert_eq!((joined.error_code, joined.members.len()), (0, 1));
    assert_eq!(joined.leader, joined.member_id);

    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"assignment"));
    let request = SyncGroupRequest::default()
        .with_group_id(group("members"))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![assignment]);
    let synced = client.call(sync, &request).await;
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &b"assignment"[..])
    );

    let request = HeartbeatRequest::default()
        .with_group_id(group("members"))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    assert_eq!(client.call(beat, &request).await.error_code, 0);

    let request = LeaveGroupRequest::default().with_group_id(group("members"));
    let request = if leave < 3 {
        request.with_member_id(joined.member_id)
    } else {
        request.with_members(vec![
            MemberIdentity::default().with_member_id(joined.member_id),
        ])
    };
    let left = client.call(leave, &request).await;
    assert_eq!(left.error_code, 0);
    assert!(left.members.iter().all(|member| member.error_code == 0));
}

pub(super) async fn offsets(client: &mut RawClient, commit: i16, fetch: i16) {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(7)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group("offsets"))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let committed = client.call(commit, &request).await;
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);

    if fetch < 8 {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(name("t"))
            .with_partition_indexes(vec![0, 1]);
        let request = OffsetFetchRequest::default()
            .with_group_id(group("offsets"))
            .with_topics(Some(vec![topic]));
        let fetched = client.call(fetch, &request).await;
        let partitions = &fetched.topics[0].partitions;
        assert_eq!(
            (
                partitions[0].committed_offset,
                partitions[1].committed_offset
            ),
            (7, -1)
        );
        assert_eq!(partitions[0].metadata.as_deref(), Some("note"));
    } else {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(name("t"))
            .with_partition_indexes(vec![0]);
        let asked = |id, topics| {
            OffsetFetchRequestGroup::default()
                .with_group_id(group(id))
                .with_topics(topics)
        };
        let request = OffsetFetchRequest::default().with_groups(vec![
            asked("offsets", Some(vec![topic])),
            asked("offsets", None),
            asked("nobody", None),
        ]);
        let fetched = client.call(fetch, &request).await;
        assert_eq!(
            fetched.groups[0].topics[0].partitions[0].committed_offset,
            7
        );
        assert_eq!(
            fetched.groups[1].topics[0].partitions[0].committed_offset,
            7
        );
        assert!(fetched.groups[2].topics.is_empty());
    }
}

/// One member of the consumer protocol joins, is described, commits and leaves.
pub(super) async fn consumer_protocol(client: &mut RawClient, beat: i16, describe: i16) {
    let request = ConsumerGroupHeartbeatRequest::default().with_group_id(group("consumers"));
    let join = request
        .clone()
        // Before version 1 the broker makes the id.
        .with_member_id(text(if beat == 0 { "" } else { "member" }))
        .with_rebalance_timeout_ms(5_000)
        .with_subscribed_topic_names(Some(vec![name("t")]))
        .with_topic_partitions(Some(Vec::new()));
    let joined = client.call(beat, &join).await;
    let id = joined.member_id.expect("an id");
    let assignment = joined.assignment.expect("an assignment");
    assert_eq!((joined.error_code, id.is_empty()), (0, false));
    assert_eq!(assignment.topic_partitions[0].partitions, [0]);
    let request = request.with_member_id(id.clone());

    let question = ConsumerGroupDescribeRequest::default()
        .with_group_ids(vec![group("consumers"), group("nobody")]);
    let described = client.call(describe, &question).await;
    let [consumers, nobody] = &described.groups[..] else {
        panic!("{described:?}");
    };
    assert_eq!((consumers.error_code, nobody.error_code), (0, 69));
    assert_eq!(&*consumers.group_state, "Stable");
    let member = &consumers.members[0];
    assert_eq!(member.assignment.topic_partitions[0].topic_name, name("t"));
    assert_eq!(member.member_type, if describe == 0 { -1 } else { 1 });

    member_commits(client, &id, joined.member_epoch).await;

    let leave = request.with_member_epoch(-1);
    let left = client.call(beat, &leave).await;
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
    assert_eq!(client.call(beat, &leave).await.error_code, 25);
}

/// Offsets of a member count in its epoch alone.
async fn member_commits(client: &mut RawClient, id: &StrBytes, epoch: i32) {
    for (version, epoch, expected) in [(9, epoch, 0), (9, epoch - 1, 113), (8, epoch - 1, 22)] {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(name("t"))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group("consumers"))
            .with_member_id(id.clone())
            .with_generation_id_or_member_epoch(epoch)
            .with_topics(vec![topic]);
        let committed = client.call(version, &request).await;
        assert_eq!(committed.topics[0].partitions[0].error_code, expected);
    }
    for (epoch, expected) in [(epoch, 0), (epoch - 1, 113)] {
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(group("consumers"))
            .with_member_id(Some(id.clone()))
            .with_member_epoch(epoch)
            .with_topics(None);
        let request = OffsetFetchRequest::default().with_groups(vec![asked]);
        let fetched = client.call(9, &request).await;
        assert_eq!(fetched.groups[0].error_code, expected);
    }
}

pub(super) async fn offset_delete(client: &mut RawClient, version: i16) {
    offsets(client, 7, 7).await;
    let partition = OffsetDeleteRequestPartition::default();
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default()
        .with_group_id(group("offsets"))
        .with_topics(vec![topic]);

    let deleted = client.call(version, &request).await;
    let nobody = client
        .call(version, &request.with_group_id(group("nobody")))
        .await;

    assert_eq!((deleted.error_code, nobody.error_code), (0, 69));
    assert_eq!(deleted.topics[0].partitions[0].error_code, 0);
}

pub(super) async fn list_groups(client: &mut RawClient, version: i16) {
    offsets(client, 7, 7).await;

    let listed = client.call(version, &ListGroupsRequest::default()).await;

    assert!(
        listed
            .groups
            .iter()
            .any(|listed| listed.group_id == group("offsets"))
    );
}

pub(super) async fn describe_groups(client: &mut RawClient, version: i16) {
    offsets(client, 7, 7).await;
    let request =
        DescribeGroupsRequest::default().with_groups(vec![group("offsets"), group("nobody")]);

    let described = client.call(version, &request).await;

    let states: Vec<&str> = described
        .groups
        .iter()
        .map(|group| &*group.group_state)
        .collect();
    assert_eq!(states, ["Empty", "Dead"]);
}

pub(super) async fn delete_groups(client: &mut RawClient, version: i16) {
    offsets(client, 7, 7).await;
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group("offsets")]);

    let deleted = client.call(version, &request).await;
    let again = client.call(version, &request).await;

    assert_eq!(
        (deleted.results[0].error_code, again.results[0].error_code),
        (0, 69)
    );
}
