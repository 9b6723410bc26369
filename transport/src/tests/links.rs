//! One connection per pair, whoever dials; what ends it and what it survives.

use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::{Authority, DenyList, DialError, Limits, NodeKey, OpenError, testing, testing::node};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_use_one_connection_for_everything() {
    let authority = testing::authority(1);
    let (a, mut inbox) = testing::member(&authority, 1);
    let (b, inbox_b) = testing::member(&authority, 2);
    testing::introduce(&[(1, &a), (2, &b)]);
    let echo_b = echo(inbox_b);
    for kind in StreamKind::ALL {
        within(call(&a, node(2), kind)).await.unwrap();
    }
    assert_eq!(connected(&mut inbox).await, node(2));
    let echo_a = echo(inbox);
    within(call(&b, node(1), StreamKind::Vote)).await.unwrap();
    let (of_a, of_b) = (a.peers(), b.peers());
    assert_eq!((of_a.len(), of_b.len()), (1, 1));
    assert!(of_a[0].dialled && !of_b[0].dialled, "b uses the connection that a dialled");
    assert_eq!(of_a[0].addr, b.local_addr());
    a.shutdown().await;
    b.shutdown().await;
    drop((a, b));
    within(async { tokio::join!(echo_a, echo_b) }).await.0.unwrap();
}

/// The pair dials each other at the same time, many times over: one connection remains, and nobody's request fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_dials_end_in_one_connection() {
    let authority = testing::authority(1);
    for _ in 0..25 {
        let (a, inbox_a) = testing::member(&authority, 1);
        let (b, inbox_b) = testing::member(&authority, 2);
        testing::introduce(&[(1, &a), (2, &b)]);
        let (_echo_a, _echo_b) = (echo(inbox_a), echo(inbox_b));
        let (from_a, from_b) = within(async {
            tokio::join!(call(&a, node(2), StreamKind::Append), call(&b, node(1), StreamKind::Append))
        })
        .await;
        from_a.unwrap();
        from_b.unwrap();
        let (of_a, of_b) = (a.peers(), b.peers());
        assert_eq!((of_a.len(), of_b.len()), (1, 1));
        assert_ne!(of_a[0].dialled, of_b[0].dialled, "the two ends are of one connection");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_one_dial() {
    let authority = testing::authority(1);
    let (a, mut inbox_a) = testing::member(&authority, 1);
    let (b, inbox_b) = testing::member(&authority, 2);
    testing::introduce(&[(1, &a), (2, &b)]);
    let _echo = echo(inbox_b);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let a = a.clone();
            tokio::spawn(async move { call(&a, node(2), StreamKind::Forward).await })
        })
        .collect();
    for call in calls {
        within(call).await.unwrap().unwrap();
    }
    assert_eq!(connected(&mut inbox_a).await, node(2));
    a.shutdown().await;
    drop(a);
    let mut more = 0;
    while let Some(arrival) = within(inbox_a.recv()).await {
        more += usize::from(matches!(arrival, Arrival::Connected { .. }));
    }
    assert_eq!(more, 0, "twenty requests made one connection");
}

/// A member in its own runtime, to be killed as SIGKILL would: no packet says goodbye.
struct Killable {
    runtime: tokio::runtime::Runtime,
    endpoint: crate::Endpoint,
}

impl Killable {
    fn start(authority: &Authority, number: u64, key: &NodeKey, listen: std::net::SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let endpoint = {
            let _inside = runtime.enter();
            let config = crate::BindConfig { listen, limits: testing::limits(), key: key.clone() };
            let (endpoint, inbox) = crate::Endpoint::bind(config).unwrap();
            echo(inbox);
            endpoint
        };
        endpoint.set_credentials(&testing::credentials(authority, number, key)).unwrap();
        Self { runtime, endpoint }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// A killed and restarted peer is noticed by a reset, long before the idle time-out, whichever side dials.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_is_connected_to_again() {
    let authority = testing::authority(1);
    // As the lower and as the higher of the two, since that decides whose connections stay.
    for (mine, other) in [(1, 2), (2, 1)] {
        let (a, inbox_a) = testing::member(&authority, mine);
        let _echo = echo(inbox_a);
        let key = NodeKey::generate().unwrap();
        let b = Killable::start(&authority, other, &key, "127.0.0.1:0".parse().unwrap());
        let listen = b.endpoint.local_addr();
        testing::introduce(&[(mine, &a), (other, &b.endpoint)]);
        within(call(&a, node(other), StreamKind::Append)).await.unwrap();
        b.kill();
        let b = rebind(&authority, other, &key, listen).await;
        testing::introduce(&[(mine, &a), (other, &b.endpoint)]);
        // The restarted one dials first: a still holds the old connection and must give way.
        within(call(&b.endpoint, node(mine), StreamKind::Append)).await.unwrap();
        within(call(&a, node(other), StreamKind::Append)).await.unwrap();
        b.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_tells_of_a_restart_before_the_idle_timeout() {
    let authority = testing::authority(1);
    let my_key = NodeKey::generate().unwrap();
    let limits = Limits { idle_timeout: Duration::from_secs(600), ..testing::limits() };
    let (a, mut inbox_a) = testing::bind_with(&my_key, limits);
    a.set_credentials(&testing::credentials(&authority, 1, &my_key)).unwrap();
    let key = NodeKey::generate().unwrap();
    // Both idle time-outs count, and the shorter wins: the peer's is the usual one.
    let b = Killable::start(&authority, 2, &key, "127.0.0.1:0".parse().unwrap());
    let listen = b.endpoint.local_addr();
    testing::introduce(&[(1, &a), (2, &b.endpoint)]);
    within(call(&a, node(2), StreamKind::Append)).await.unwrap();
    b.kill();
    let begun = Instant::now();
    let b = rebind(&authority, 2, &key, listen).await;
    assert_eq!(disconnected(&mut inbox_a).await, node(2));
    assert!(begun.elapsed() < Limits::default().idle_timeout, "noticed after {:?}", begun.elapsed());
    b.kill();
}

/// The port of a killed one is free once its runtime is gone, which happens in the background.
async fn rebind(authority: &Authority, number: u64, key: &NodeKey, listen: std::net::SocketAddr) -> Killable {
    within(async {
        while std::net::UdpSocket::bind(listen).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Killable::start(authority, number, key, listen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_peer_is_noticed_by_its_silence() {
    let authority = testing::authority(1);
    let key = NodeKey::generate().unwrap();
    let limits = Limits {
        idle_timeout: Duration::from_millis(600),
        keep_alive: Duration::from_millis(150),
        ..testing::limits()
    };
    let (a, mut inbox) = testing::bind_with(&key, limits);
    a.set_credentials(&testing::credentials(&authority, 1, &key)).unwrap();
    let b = Killable::start(&authority, 2, &NodeKey::generate().unwrap(), "127.0.0.1:0".parse().unwrap());
    testing::introduce(&[(1, &a), (2, &b.endpoint)]);
    let (mut sender, mut receiver) = within(a.open(node(2), StreamKind::Append)).await.unwrap();
    sender.send(b"x").await.unwrap();
    within(receiver.recv()).await.unwrap();
    b.kill();
    assert_eq!(disconnected(&mut inbox).await, node(2));
    assert!(matches!(within(receiver.recv()).await, Err(crate::RecvError::Lost { .. })));
    let error = within(a.open(node(2), StreamKind::Append)).await.unwrap_err();
    assert!(matches!(error, OpenError::Dial(DialError::TimedOut { .. })), "{error}");
}

/// G12: a removed node, and a node whose key is revoked, lose their connection at once and get no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_a_denied_node_is_cut_at_once_and_stays_out() {
    let authority = testing::authority(1);
    for by_key in [false, true] {
        let (a, mut inbox_a) = testing::member(&authority, 1);
        let (b, mut inbox_b) = testing::member(&authority, 2);
        testing::introduce(&[(1, &a), (2, &b)]);
        let (_sender, mut receiver) = within(a.open(node(2), StreamKind::Append)).await.unwrap();
        let denied = if by_key {
            DenyList { fingerprints: [b.fingerprint()].into(), ..DenyList::default() }
        } else {
            DenyList { nodes: [node(2)].into(), ..DenyList::default() }
        };
        a.set_denied(denied);
        assert!(matches!(within(receiver.recv()).await, Err(crate::RecvError::Lost { .. })));
        assert_eq!(disconnected(&mut inbox_a).await, node(2));
        assert_eq!(disconnected(&mut inbox_b).await, node(1));
        let error = within(a.open(node(2), StreamKind::Append)).await.unwrap_err();
        let refused_here = matches!(
            error,
            OpenError::Dial(
                DialError::Denied { .. } | DialError::Refused { refused: crate::PeerRefused::Denied(_), .. }
            )
        );
        assert!(refused_here, "{error}");
        let told = within(b.open(node(1), StreamKind::Append)).await.unwrap_err();
        let OpenError::Dial(DialError::RefusedByPeer { reason, .. }) = &told else { panic!("{told}") };
        assert!(reason.contains("removed or its key revoked"), "{reason}");
        a.set_denied(DenyList::default());
        let _echo = echo(inbox_b);
        within(call(&a, node(2), StreamKind::Append)).await.unwrap();
    }
}

/// Changing from one authority to the next: accept both, issue from the new, drop the old. Connections survive until the
/// last step, and those that did not follow are cut there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_are_rotated_under_live_connections() {
    let old = testing::authority(1);
    let new = testing::authority(1);
    let both = vec![old.certificate_der(), new.certificate_der()];
    let keys: Vec<_> = (0..3).map(|_| NodeKey::generate().unwrap()).collect();
    let nodes: Vec<_> = keys.iter().map(|key| testing::bind_with(key, testing::limits())).collect();
    let (endpoints, inboxes): (Vec<_>, Vec<_>) = nodes.into_iter().unzip();
    let _echoes: Vec<_> = inboxes.into_iter().map(echo).collect();
    let issue = |authority: &Authority, at: usize, roots: &[crate::CertificateDer<'static>]| {
        let mut credentials = testing::credentials(authority, at as u64 + 1, &keys[at]);
        credentials.roots = roots.to_vec();
        endpoints[at].set_credentials(&credentials).unwrap();
    };
    (0..3).for_each(|at| issue(&old, at, &both));
    testing::introduce(&[(1, &endpoints[0]), (2, &endpoints[1]), (3, &endpoints[2])]);
    within(call(&endpoints[0], node(2), StreamKind::Append)).await.unwrap();
    within(call(&endpoints[0], node(3), StreamKind::Append)).await.unwrap();
    issue(&new, 0, &both);
    issue(&new, 1, &both);
    assert_eq!(endpoints[0].peers().len(), 2, "new certificates end no connection");
    // A connection made before the renewal shows the certificate from before it.
    issue(&new, 0, &[new.certificate_der()]);
    assert!(endpoints[0].peers().is_empty(), "what only the dropped authority vouches for ends");
    within(call(&endpoints[0], node(2), StreamKind::Append)).await.unwrap();
    let error = within(call(&endpoints[0], node(3), StreamKind::Append)).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Dial(DialError::Refused { refused: crate::PeerRefused::UnknownAuthority(_), .. })),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_credentials_leave_the_good_ones_in_use() {
    let authority = testing::authority(1);
    let key = NodeKey::generate().unwrap();
    let (endpoint, _inbox) = testing::bind_with(&key, testing::limits());
    assert_eq!(endpoint.name(), None);
    let good = testing::credentials_at(&authority, 1, &key, SystemTime::now());
    endpoint.set_credentials(&good).unwrap();
    let other_key = crate::Credentials { key: NodeKey::generate().unwrap().private_der(), ..good.clone() };
    assert!(matches!(endpoint.set_credentials(&other_key), Err(crate::CredentialsError::Key { .. })));
    let other_name = crate::Credentials { name: testing::credentials(&authority, 2, &key).name, ..good.clone() };
    assert!(matches!(endpoint.set_credentials(&other_name), Err(crate::CredentialsError::Name { .. })));
    let no_roots = crate::Credentials { roots: vec![], ..good.clone() };
    assert!(matches!(endpoint.set_credentials(&no_roots), Err(crate::CredentialsError::Roots { .. })));
    assert_eq!(endpoint.name(), Some(good.name));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (endpoint, _inbox) = testing::stranger();
    let config = crate::BindConfig {
        listen: endpoint.local_addr(),
        limits: testing::limits(),
        key: NodeKey::generate().unwrap(),
    };
    let error = crate::Endpoint::bind(config).unwrap_err();
    assert!(error.to_string().contains(&endpoint.local_addr().to_string()), "{error}");
}
