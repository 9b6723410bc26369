//! Datagrams between members.

use bytes::Bytes;

use super::*;
use crate::{DATAGRAM_BYTES_MAX, DatagramError, DialError, Limits, NodeKey, testing, testing::node};

async fn datagram(inbox: &mut Inbox) -> (NodeId, Bytes) {
    expect(inbox, |arrival| if let Arrival::Datagram { from, bytes } = arrival { Some((from, bytes)) } else { None })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_datagram_dials_and_arrives() {
    let authority = testing::authority(1);
    let (a, mut inbox_a) = testing::member(&authority, 1);
    let (b, mut inbox_b) = testing::member(&authority, 2);
    // Only a hint says where b is, as for a member that gossip has heard of before Raft has told.
    a.send_datagram(node(2), Some(b.local_addr()), Bytes::from_static(b"hello")).unwrap();
    assert_eq!(datagram(&mut inbox_b).await, (node(1), Bytes::from_static(b"hello")));
    b.send_datagram(node(1), None, Bytes::from_static(b"back")).unwrap();
    assert_eq!(datagram(&mut inbox_a).await, (node(2), Bytes::from_static(b"back")));
    assert_eq!(a.peers().len(), 1);
}

/// The longest datagram passes at once, on the smallest packets, before any larger ones have been tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_datagram_passes_and_a_longer_one_is_refused() {
    let authority = testing::authority(1);
    let (a, _inbox_a) = testing::member(&authority, 1);
    let (b, mut inbox_b) = testing::member(&authority, 2);
    testing::introduce(&[(1, &a), (2, &b)]);
    let longest = Bytes::from(vec![7; DATAGRAM_BYTES_MAX]);
    a.send_datagram(node(2), None, longest.clone()).unwrap();
    assert_eq!(datagram(&mut inbox_b).await.1, longest);
    let error = a.send_datagram(node(2), None, Bytes::from(vec![7; DATAGRAM_BYTES_MAX + 1])).unwrap_err();
    assert_eq!(error, DatagramError::TooLong { node: node(2), bytes: 1_101, bytes_max: 1_100 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_to_nowhere_say_so() {
    let authority = testing::authority(1);
    let (a, _inbox) = testing::member(&authority, 1);
    let error = a.send_datagram(node(5), None, Bytes::from_static(b"x")).unwrap_err();
    assert_eq!(error, DatagramError::Dial(DialError::UnknownNode { node: node(5) }));
    let (alone, _inbox) = testing::stranger();
    let error = alone.send_datagram(node(5), None, Bytes::from_static(b"x")).unwrap_err();
    assert_eq!(error, DatagramError::Dial(DialError::NotAMember { node: node(5) }));
}

/// A flood fills its own bounded queue, is dropped and counted beyond, and holds up no stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g15_a_flood_of_datagrams_is_bounded_and_holds_up_no_stream() {
    let authority = testing::authority(1);
    let (a, _inbox_a) = testing::member(&authority, 1);
    let key = NodeKey::generate().unwrap();
    let (b, mut inbox_b) = testing::bind_with(&key, Limits { datagrams_queued_max: 8, ..testing::limits() });
    b.set_credentials(&testing::credentials(&authority, 2, &key)).unwrap();
    testing::introduce(&[(1, &a), (2, &b)]);
    let (mut to_b, _from_b) = within(a.open(node(2), StreamKind::Control)).await.unwrap();
    within(async {
        while b.stats().datagrams_dropped < 100 {
            a.send_datagram(node(2), None, Bytes::from_static(b"flood")).unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(format!("{inbox_b:?}").contains("datagrams: 8"), "{inbox_b:?}");
    to_b.send(b"stream").await.unwrap();
    let mut receiver = expect(&mut inbox_b, |arrival| match arrival {
        Arrival::Stream { receiver, .. } => Some(receiver),
        _ => None,
    })
    .await;
    assert_eq!(within(receiver.recv()).await, Ok(Some(b"stream".to_vec())));
}
