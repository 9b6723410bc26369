//! Frames on streams between members.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Endpoint, FrameReceiver, FrameSender, RecvError, SendError, testing, testing::node};

struct Pair {
    a: Endpoint,
    b: Endpoint,
    inbox_a: Inbox,
    inbox_b: Inbox,
}

fn pair() -> Pair {
    let authority = testing::authority(1);
    let (a, inbox_a) = testing::member(&authority, 1);
    let (b, inbox_b) = testing::member(&authority, 2);
    testing::introduce(&[(1, &a), (2, &b)]);
    Pair { a, b, inbox_a, inbox_b }
}

impl Pair {
    /// A stream from a to b: a's sending half and b's receiving half, and the two others.
    async fn stream(&mut self, kind: StreamKind) -> (FrameSender, FrameReceiver, (FrameReceiver, FrameSender)) {
        let (to_b, from_b) = within(self.a.open(node(2), kind)).await.unwrap();
        let (to_a, from_a) = expect(&mut self.inbox_b, |arrival| match arrival {
            Arrival::Stream { from, kind: seen, sender, receiver } => {
                assert_eq!((from, seen), (node(1), kind));
                Some((sender, receiver))
            }
            _ => None,
        })
        .await;
        (to_b, from_a, (from_b, to_a))
    }
}

/// What the adapters of other crates rely on.
#[test]
fn halves_of_streams_move_between_tasks() {
    fn moves<T: Send + Sync + 'static>() {}
    moves::<FrameSender>();
    moves::<FrameReceiver>();
    moves::<Endpoint>();
    moves::<Inbox>();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_arrive_whole_in_order_until_the_end() {
    let mut pair = pair();
    let (mut to_b, mut from_a, (mut from_b, mut to_a)) = pair.stream(StreamKind::Append).await;
    let frames: Vec<Vec<u8>> =
        [0usize, 1, 3, 1000, 70_000, 5 << 20, crate::FRAME_BYTES_MAX].iter().map(|length| vec![7; *length]).collect();
    let sent = frames.clone();
    let sending = tokio::spawn(async move {
        for frame in &sent {
            to_b.send(frame).await.unwrap();
        }
    });
    for frame in &frames {
        assert_eq!(within(from_a.recv()).await.unwrap().as_ref(), Some(frame));
    }
    within(sending).await.unwrap();
    assert_eq!(within(from_a.recv()).await, Ok(None), "the dropped sender ended the stream in good order");
    assert_eq!(within(from_a.recv()).await, Ok(None));
    to_a.send_msg(&(1u8, "answer")).await.unwrap();
    assert_eq!(within(from_b.recv_msg::<(u8, String)>()).await, Ok(Some((1, "answer".to_owned()))));
}

/// Issue: a frame above the limit closes the connection, and the reason is logged and told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g15_a_frame_above_the_limit_closes_the_connection() {
    let mut pair = pair();
    let (mut to_b, mut from_a, (mut from_b, _to_a)) = pair.stream(StreamKind::Vote).await;
    let limit = StreamKind::Vote.frame_bytes_max();
    let refused = to_b.send(&vec![0; limit + 1]).await.unwrap_err();
    assert!(matches!(refused, SendError::TooLong { bytes, bytes_max, .. } if bytes == limit + 1 && bytes_max == limit));
    to_b.send(&vec![1; limit]).await.expect("the stream is still good");
    assert_eq!(within(from_a.recv()).await.unwrap().map(|frame| frame.len()), Some(limit));
    let announced = u32::MAX;
    to_b.write(Bytes::copy_from_slice(&announced.to_le_bytes())).await.unwrap();
    let error = within(from_a.recv()).await.unwrap_err();
    assert!(matches!(&error, RecvError::TooLong { bytes, .. } if *bytes == announced as usize), "{error}");
    assert!(matches!(within(from_a.recv()).await, Err(RecvError::Lost { .. })), "nothing follows");
    let told = within(from_b.recv()).await.unwrap_err();
    assert!(told.to_string().contains("a frame of 4294967295 bytes, at most 65536 are allowed"), "{told}");
    assert_eq!(disconnected(&mut pair.inbox_a).await, node(2));
    assert_eq!(disconnected(&mut pair.inbox_b).await, node(1));
    assert_eq!(pair.b.stats().frames_too_long, 1);
    // The pair may talk again.
    within(pair.a.open(node(2), StreamKind::Vote)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_within_a_frame_is_not_taken_for_whole() {
    let mut pair = pair();
    let (mut to_b, mut from_a, _other) = pair.stream(StreamKind::Control).await;
    to_b.write(Bytes::from_static(&[5, 0, 0, 0, 1, 2])).await.unwrap();
    drop(to_b);
    assert!(matches!(within(from_a.recv()).await, Err(RecvError::Cut { .. })));
}

/// A send that is given up half-way must not let the next frame begin in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_given_up_half_way_spoils_the_stream_only() {
    let mut pair = pair();
    let (mut to_b, mut from_a, _other) = pair.stream(StreamKind::Append).await;
    let large = vec![0u8; 8 << 20];
    let given_up = tokio::time::timeout(Duration::from_millis(200), to_b.send(&large)).await;
    assert!(given_up.is_err(), "nobody reads, so that the window fills");
    assert!(matches!(to_b.send(b"next").await, Err(SendError::Interrupted { .. })));
    drop(to_b);
    assert!(matches!(within(from_a.recv()).await, Err(RecvError::Lost { .. })));
    let (mut to_b, mut from_a, _other) = pair.stream(StreamKind::Append).await;
    to_b.send(b"next").await.unwrap();
    assert_eq!(within(from_a.recv()).await, Ok(Some(b"next".to_vec())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_given_up_loses_nothing() {
    let mut pair = pair();
    let (mut to_b, mut from_a, _other) = pair.stream(StreamKind::Append).await;
    let frame: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let expected = frame.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..20 {
            to_b.send(&frame).await.unwrap();
        }
    });
    let mut got = 0;
    while got < 20 {
        tokio::select! {
            biased;
            received = from_a.recv() => {
                assert!(received.unwrap().as_ref() == Some(&expected));
                got += 1;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    within(sending).await.unwrap();
}

/// Many streams that nobody reads are full; a vote passes all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_passes_streams_that_nobody_reads() {
    let mut pair = pair();
    let mut stuck = Vec::new();
    for kind in [StreamKind::Snapshot, StreamKind::Append, StreamKind::Forward, StreamKind::Snapshot] {
        let (mut to_b, from_a, other) = pair.stream(kind).await;
        stuck.push((tokio::spawn(async move { to_b.send(&vec![0; 8 << 20]).await }), from_a, other));
    }
    let (mut to_b, mut from_a, _other) = pair.stream(StreamKind::Vote).await;
    to_b.send(b"vote").await.unwrap();
    assert_eq!(within(from_a.recv()).await, Ok(Some(b"vote".to_vec())));
    stuck.iter().for_each(|(sending, ..)| sending.abort());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_cannot_open_streams_without_end() {
    let mut pair = pair();
    let mut open = Vec::new();
    let limit = testing::limits().streams_per_peer_max;
    // One place is taken by the greeting until it has ended.
    let error = loop {
        match within(pair.a.open(node(2), StreamKind::Control)).await {
            Ok(halves) => open.push(halves),
            Err(error) => break error,
        }
        assert!(open.len() <= limit as usize, "more streams are open than allowed");
    };
    assert!(matches!(error, crate::OpenError::Full { .. }), "{error}");
    drop(open);
    // Both ends let go of theirs, and there is room again; quinn tells the peer after an eighth of the limit.
    for _ in 0..limit / 4 {
        expect(&mut pair.inbox_b, |arrival| matches!(arrival, Arrival::Stream { .. }).then_some(())).await;
    }
    within(pair.a.open(node(2), StreamKind::Control)).await.unwrap();
}

/// A stream that does not say what it is for is refused, and the connection goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_kind_of_stream_is_refused() {
    let mut pair = pair();
    let _first = pair.stream(StreamKind::Control).await;
    let link = pair.a.shared.peers.links().remove(0);
    let (mut send, mut receive) = within(link.connection.open_bi()).await.unwrap();
    send.write_all(&[99]).await.unwrap();
    let mut buffer = [0u8; 1];
    assert!(!matches!(within(receive.read(&mut buffer)).await, Ok(Some(_))));
    let (mut to_b, mut from_a, _other) = pair.stream(StreamKind::Control).await;
    to_b.send(b"x").await.unwrap();
    assert_eq!(within(from_a.recv()).await, Ok(Some(b"x".to_vec())));
}

/// G15: any bytes on a stream give frames or an error, never a panic, and never more frames than the bytes hold.
#[test]
fn g15_garbage_on_a_stream_never_panics() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let pair = tokio::sync::Mutex::new(runtime.block_on(async { pair() }));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let chunks = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..64), 1..6);
    let small = prop::collection::vec((0u8..16).prop_map(|n| vec![n, 0, 0, 0, 1, 2, 3]), 1..6);
    let result = runner.run(&prop_oneof![chunks, small], |chunks| {
        runtime.block_on(async {
            let mut pair = pair.lock().await;
            let (mut to_b, mut from_a, _other) = pair.stream(StreamKind::Vote).await;
            let total: usize = chunks.iter().map(Vec::len).sum();
            let sending = tokio::spawn(async move {
                for chunk in chunks {
                    if to_b.write(Bytes::from(chunk)).await.is_err() {
                        return;
                    }
                }
            });
            let mut taken = 0;
            let last = loop {
                match within(from_a.recv()).await {
                    Ok(Some(frame)) => taken += 4 + frame.len(),
                    last => break last,
                }
            };
            assert!(taken <= total);
            within(sending).await.unwrap();
            if matches!(last, Err(RecvError::TooLong { .. })) {
                disconnected(&mut pair.inbox_a).await;
                disconnected(&mut pair.inbox_b).await;
            }
        });
        Ok(())
    });
    result.unwrap();
}
