//! Who is not let in, on either side, and what each is told.

use std::time::{Duration, Instant, SystemTime};

use super::{
    rogue::{self, Rogue, shown},
    *,
};
use crate::{
    CERT_LIFETIME, Credentials, DialError, Limits, NodeKey, OpenError, PeerRefused, close::reason_of, quic::Protocol,
    testing, testing::node,
};

async fn refused(endpoint: &crate::Endpoint, to: u64) -> DialError {
    match within(endpoint.open(node(to), StreamKind::Control)).await {
        Err(OpenError::Dial(error)) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// What a rogue with these credentials is told by a member that it dials.
async fn told(credentials: &Credentials, addr: std::net::SocketAddr) -> String {
    let rogue = Rogue::new();
    let dialled = within(rogue.dial(addr, Protocol::Cluster, shown(credentials))).await;
    let error = match dialled {
        // TLS 1.3 lets the dialler finish before its own certificate is judged.
        Ok(connection) => within(connection.closed()).await,
        Err(error) => error,
    };
    reason_of(&error)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_than_the_one_dialled_is_refused() {
    let authority = testing::authority(1);
    let (a, _inbox_a) = testing::member(&authority, 1);
    let (b, _inbox_b) = testing::member(&authority, 2);
    a.set_directory(vec![(node(3), b.local_addr()), (node(4), a.local_addr())]);
    let error = refused(&a, 3).await;
    let wanted = PeerRefused::WrongNode { dialled: node(3), found: node(2) };
    assert_eq!(error, DialError::Refused { node: node(3), addr: b.local_addr(), refused: wanted });
    let error = refused(&a, 4).await;
    assert!(matches!(error, DialError::Refused { refused: PeerRefused::Myself(_), .. }), "{error}");
    assert_eq!(refused(&a, 1).await, DialError::Myself { node: node(1) });
    assert_eq!(refused(&a, 9).await, DialError::UnknownNode { node: node(9) });
}

/// Issue: an agent whose certificate is of another cluster is refused on both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_a_certificate_of_another_cluster_is_refused_on_both_sides() {
    let (ours, theirs) = (testing::authority(1), testing::authority(2));
    let (a, _inbox_a) = testing::member(&ours, 1);
    let (b, _inbox_b) = testing::member(&theirs, 2);
    testing::introduce(&[(1, &a), (2, &b)]);
    let wanted = PeerRefused::OtherCluster { expected: ours.cluster(), found: theirs.cluster() };
    // The dialler refuses what it is shown.
    assert_eq!(refused(&a, 2).await, DialError::Refused { node: node(2), addr: b.local_addr(), refused: wanted });
    eventually(|| b.stats().handshakes_refused == 1).await;
    // The acceptor refuses one who does not look at what it is shown, and says why.
    let stranger = testing::credentials(&theirs, 3, &NodeKey::generate().unwrap());
    let reason = told(&stranger, a.local_addr()).await;
    assert!(reason.contains(&format!("its certificate is of cluster {}", theirs.cluster())), "{reason}");
    eventually(|| a.stats().handshakes_refused == 1).await;
    assert!(a.peers().is_empty() && b.peers().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_refused_on_both_sides() {
    let authority = testing::authority(1);
    let (a, _inbox_a) = testing::member(&authority, 1);
    let key = NodeKey::generate().unwrap();
    let (b, _inbox_b) = testing::bind_with(&key, testing::limits());
    let past = SystemTime::now() - CERT_LIFETIME - Duration::from_secs(60);
    let expired = testing::credentials_at(&authority, 2, &key, past);
    b.set_credentials(&expired).unwrap();
    testing::introduce(&[(1, &a), (2, &b)]);
    let error = refused(&a, 2).await;
    assert!(matches!(error, DialError::Refused { refused: PeerRefused::Expired(_), .. }), "{error}");
    let error = refused(&b, 1).await;
    let DialError::RefusedByPeer { reason, .. } = &error else { panic!("{error}") };
    assert!(reason.contains("the certificate of n2 has expired"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_without_a_certificate_is_refused() {
    let authority = testing::authority(1);
    let (a, mut inbox) = testing::member(&authority, 1);
    let rogue = Rogue::new();
    for protocol in [Protocol::Cluster, Protocol::Form] {
        let error = match within(rogue.dial_bare(a.local_addr(), protocol.alpn())).await {
            Ok(connection) => within(connection.closed()).await,
            Err(error) => error,
        };
        assert!(reason_of(&error).contains("sent no certificates"), "{error}");
    }
    assert!(within(rogue.dial_bare(a.local_addr(), b"h3")).await.is_err(), "foreign protocols are refused");
    eventually(|| a.stats().handshakes_refused == 3).await;
    a.shutdown().await;
    drop(a);
    assert!(within(inbox.recv()).await.is_none(), "nothing of it arrived");
}

/// A self-signed certificate is good for forming, and for nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_with_a_certificate_of_its_own_making_is_refused() {
    let authority = testing::authority(1);
    let (a, _inbox) = testing::member(&authority, 1);
    let rogue = Rogue::new();
    let own = rogue::alone(&rogue.key);
    let error = match within(rogue.dial(a.local_addr(), Protocol::Cluster, own)).await {
        Ok(connection) => within(connection.closed()).await,
        Err(error) => error,
    };
    assert!(reason_of(&error).contains("names no Hedgerow node"), "{error}");
    assert!(a.peers().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_not_members_say_so() {
    let authority = testing::authority(1);
    let (a, _inbox_a) = testing::member(&authority, 1);
    let (alone, _inbox) = testing::stranger();
    testing::introduce(&[(1, &a), (2, &alone)]);
    assert_eq!(refused(&a, 2).await, DialError::PeerNotAMember { node: node(2), addr: alone.local_addr() });
    assert_eq!(refused(&alone, 1).await, DialError::NotAMember { node: node(1) });
}

/// Sends the first packet of a handshake and never answers: a dial at an address behind which the answers are lost.
async fn stall(addr: std::net::SocketAddr) -> tokio::net::UdpSocket {
    let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = relay.local_addr().unwrap();
    let rogue = Rogue::new();
    let dialling = tokio::spawn(async move { rogue.dial_bare(at, Protocol::Cluster.alpn()).await });
    let mut first = [0u8; 2048];
    let (length, _) = within(relay.recv_from(&mut first)).await.unwrap();
    dialling.abort();
    relay.connect(addr).await.unwrap();
    relay.send(&first[..length]).await.unwrap();
    // Something comes back once the handshake has a place.
    within(relay.readable()).await.unwrap();
    relay
}

/// Handshakes that stall take all the places there are, and still only delay the others by the time-out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_handshakes_time_out_and_do_not_block_others() {
    let authority = testing::authority(1);
    let key = NodeKey::generate().unwrap();
    let limits = Limits { handshakes_max: 4, handshake_timeout: Duration::from_millis(800), ..testing::limits() };
    let (a, inbox_a) = testing::bind_with(&key, limits);
    a.set_credentials(&testing::credentials(&authority, 1, &key)).unwrap();
    let (b, _inbox_b) = testing::member(&authority, 2);
    testing::introduce(&[(1, &a), (2, &b)]);
    let _echo = echo(inbox_a);
    let mut stalled = Vec::new();
    for _ in 0..6 {
        stalled.push(stall(a.local_addr()).await);
    }
    let begun = Instant::now();
    within(call(&b, node(1), StreamKind::Vote)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(800), "places are kept for those who prove their address");
    eventually(|| a.stats().handshakes_timed_out > 0).await;
    assert!(a.stats().handshakes_timed_out <= 4, "{:?}", a.stats());
}
