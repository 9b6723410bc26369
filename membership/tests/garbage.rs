//! G15: whatever arrives costs bounded memory, never panics, and does not change who is believed to live.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::Bytes;
use identity::NodeId;
use membership::{Action, Cluster, Config, Input, LocalMember, MEMBERS_MAX, Member, Meta, PACKET_BYTES_MAX};
use proptest::{collection::vec, prelude::*, sample::Index};

fn n(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

fn cluster(number: u64) -> Cluster {
    let meta = Meta { name: format!("lb{number}"), ..Meta::default() };
    let local = LocalMember { node: n(number), addr: addr(number), incarnation: 1, meta };
    Cluster::new(local, Config::default(), number)
}

fn addr(number: u64) -> std::net::SocketAddr {
    ([10, 77, u8::try_from(number / 250).unwrap(), u8::try_from(number % 250).unwrap()], 7400).into()
}

fn datagram(from: u64, bytes: Bytes) -> Input {
    Input::Datagram { from: n(from), bytes }
}

fn sends(actions: &[Action]) -> Vec<(u64, Bytes)> {
    let send = |action: &Action| match action {
        Action::Send { to, bytes, .. } => Some((to.get(), bytes.clone())),
        _ => None,
    };
    actions.iter().filter_map(send).collect()
}

/// Two nodes that know each other, and all that each of them has received on the way.
fn pair() -> (Cluster, Vec<Bytes>) {
    let mut nodes = [cluster(1), cluster(2)];
    let mut timers = Vec::new();
    let mut heard = Vec::new();
    let mut pending: Vec<(u64, Vec<Action>)> = vec![(1, nodes[0].handle(Input::Announce { to: n(2), addr: addr(2) }))];
    for _ in 0..60 {
        while let Some((from, actions)) = pending.pop() {
            for (to, bytes) in sends(&actions) {
                if to == 1 {
                    heard.push(bytes.clone());
                }
                let to_index = usize::from(to == 2);
                pending.push((to, nodes[to_index].handle(datagram(from, bytes))));
            }
            let own = |action: Action| match action {
                Action::Schedule { timer, .. } => Some((from, timer)),
                _ => None,
            };
            timers.extend(actions.into_iter().filter_map(own));
        }
        let (node, timer) = timers.remove(0);
        pending.push((node, nodes[usize::from(node == 2)].handle(Input::Timer(timer))));
    }
    let [one, _] = nodes;
    assert_eq!(one.members().len(), 2);
    assert!(heard.len() > 10);
    (one, heard)
}

fn unharmed(cluster: &mut Cluster, before: &[Member], bytes: Bytes) -> Result<(), TestCaseError> {
    let actions = cluster.handle(datagram(2, bytes));
    prop_assert!(actions.is_empty(), "{:?}", actions);
    prop_assert_eq!(cluster.members(), before);
    Ok(())
}

fn config() -> ProptestConfig {
    // A test of its own has no sources that a failure could be kept beside.
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn g15_noise_changes_nothing(noise in vec(vec(any::<u8>(), 0..1_300), 1..50)) {
        let (mut cluster, _) = pair();
        let before = cluster.members();
        for bytes in noise {
            for (_, sent) in sends(&cluster.handle(datagram(2, bytes.into()))) {
                prop_assert!(sent.len() <= PACKET_BYTES_MAX);
            }
            prop_assert_eq!(&cluster.members(), &before);
        }
    }

    #[test]
    fn g15_a_cut_or_lengthened_datagram_changes_nothing(which: Index, at: Index, tail in vec(any::<u8>(), 1..20)) {
        let (mut cluster, heard) = pair();
        let before = cluster.members();
        let whole = which.get(&heard);
        unharmed(&mut cluster, &before, whole.slice(..at.index(whole.len())))?;
        unharmed(&mut cluster, &before, [whole.as_ref(), tail.as_slice()].concat().into())?;
    }

    /// Inside QUIC nothing can be flipped; a hostile member can send it all the same.
    #[test]
    fn g15_a_changed_datagram_never_panics(changes in vec((any::<Index>(), any::<Index>(), any::<u8>()), 1..60)) {
        let (mut cluster, heard) = pair();
        for (which, at, value) in changes {
            let mut bytes = which.get(&heard).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = value;
            for (_, sent) in sends(&cluster.handle(datagram(2, bytes.into()))) {
                prop_assert!(sent.len() <= PACKET_BYTES_MAX);
            }
            prop_assert!(cluster.members().len() <= MEMBERS_MAX + 1);
        }
    }
}

#[test]
fn nobody_speaks_in_another_nodes_name() {
    let (mut cluster, _) = pair();
    let before = cluster.members();
    let mut third = cluster_that_announces(3);
    let (_, bytes) = third.pop().unwrap();
    assert!(cluster.handle(datagram(2, bytes.clone())).is_empty());
    assert_eq!(cluster.members(), before);
    cluster.handle(datagram(3, bytes));
    assert_eq!(cluster.members().len(), 3);
}

#[test]
fn g15_more_nodes_than_there_may_be_are_refused() {
    let mut victim = cluster(1);
    for number in 2..700 {
        for (_, bytes) in cluster_that_announces(number) {
            victim.handle(datagram(number, bytes));
        }
    }
    assert_eq!(victim.members().len(), MEMBERS_MAX + 1);
}

/// The first datagrams of a node that says hello to n1.
fn cluster_that_announces(number: u64) -> Vec<(u64, Bytes)> {
    sends(&cluster(number).handle(Input::Announce { to: n(1), addr: addr(1) }))
}
