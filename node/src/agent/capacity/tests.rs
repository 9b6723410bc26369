use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use identity::{Fingerprint, MemberAddress, Role};
use policy::{SourceText, guard::GUARD_ENTRIES_MAX};

use super::*;

/// Of one member whose 64 addresses each speak on 64 ports of TCP (four entries) and on the cluster's own port (two).
const ENTRIES_OF_64_ADDRESSES: usize = 64 * (64 * 4 + 2);

pub(super) fn newcomer(number: u8, addresses: u8) -> NewMember {
    let address = |host: u8| MemberAddress { role: Role::Cluster, addr: IpAddr::from([10, 77, number, host]) };
    NewMember {
        name: format!("lb{number}"),
        endpoint: ([10, 77, number, 1], 7400).into(),
        api: None,
        fingerprint: Fingerprint([number; 32]),
        addresses: (1..=addresses).map(address).collect(),
        witness: false,
    }
}

pub(super) fn node(number: u8) -> NodeId {
    NodeId::new(number.into()).unwrap()
}

/// A cluster of this node, with one address, and another, with 64.
fn state() -> State {
    let members = [(1, 1), (2, 64)].map(|(number, addresses)| newcomer(number, addresses).into_record(node(number)));
    let members: BTreeMap<_, _> = members.into_iter().map(|member| (member.node, member)).collect();
    let mut state = State::default();
    state.members = Arc::new(members);
    state
}

fn documents(text: &str) -> Vec<Document> {
    policy::parse(&[SourceText { name: "test.yaml".to_owned(), text: text.to_owned() }]).unwrap()
}

pub(super) fn channel(name: &str) -> Vec<Document> {
    documents(&format!(
        "apiVersion: hedgerow/v1\nkind: SyncChannel\nmetadata: {{name: {name}}}\n\
         spec: {{interface: cluster, protocol: tcp, port: 9000, ports: 64}}\n"
    ))
}

/// Judges in this state, with the channel of 64 ports in the configuration.
fn judged<T>(state: &State, judge: impl FnOnce(&Capacity<'_>) -> T) -> T {
    let interfaces = [LocalInterface {
        name: "eth0".to_owned(),
        ifindex: 2,
        role: Role::Cluster,
        addresses: vec!["10.77.1.1/16".parse().unwrap()],
    }];
    let configured: Vec<Channel> = channels::of(&channel("many")).collect();
    let members: Vec<_> = state.members.values().cloned().collect();
    let in_force = policy::guard(node(1), &interfaces, &configured, &members, 7400).unwrap();
    assert_eq!(in_force.entries.len(), ENTRIES_OF_64_ADDRESSES);
    let (interfaces, configured) = (&interfaces, &configured);
    judge(&Capacity { me: node(1), interfaces, port: 7400, configured, state, in_force: &in_force })
}

/// G0: capacity is checked before a member is proposed; the refusal names the limit, what is needed and what there is.
#[test]
fn g0_a_member_whose_flows_do_not_fit_is_not_proposed() {
    let state = state();
    let needed = 2 * ENTRIES_OF_64_ADDRESSES;
    assert!(needed > GUARD_ENTRIES_MAX);
    judged(&state, |capacity| {
        let error = capacity.for_newcomer(&newcomer(3, 64)).unwrap_err().to_string();
        assert!(error.starts_with("n1 could not keep every sync flow open"), "{error}");
        assert!(error.contains(&format!("needs {needed} guard entries and holds {GUARD_ENTRIES_MAX}")), "{error}");
        assert_eq!(capacity.for_newcomer(&newcomer(3, 60)), Ok(()));
        // Who has been admitted already only asks for its answer again.
        assert_eq!(capacity.for_newcomer(&newcomer(2, 64)), Ok(()));
    });
}

/// The old addresses stay open beside the new ones for a while, and both must fit.
#[test]
fn g0_addresses_that_do_not_fit_beside_the_old_ones_are_not_proposed() {
    let state = state();
    let moved = |addresses| NewMember { addresses: newcomer(9, addresses).addresses, ..newcomer(2, 64) };
    judged(&state, |capacity| {
        assert!(capacity.for_record(&moved(64).into_record(node(2))).is_err());
        assert_eq!(capacity.for_record(&moved(60).into_record(node(2))), Ok(()));
        assert_eq!(capacity.for_record(&newcomer(2, 64).into_record(node(2))), Ok(()));
    });
}

#[test]
fn g0_a_channel_that_does_not_fit_is_not_proposed() {
    let state = state();
    let udp = |port: u16| {
        documents(&format!(
            "apiVersion: hedgerow/v1\nkind: SyncChannel\nmetadata: {{name: udp-{port}}}\n\
             spec: {{interface: cluster, protocol: udp, port: {port}, ports: 64}}\n"
        ))
    };
    judged(&state, |capacity| {
        assert_eq!(capacity.for_documents(&udp(20_000)), Ok(()));
        let error = capacity.for_documents(&[udp(30_000), udp(20_000)].concat()).unwrap_err().to_string();
        assert!(error.starts_with("test.yaml:3:18: n1 could not keep every sync flow open"), "{error}");
        assert!(error.contains("declare fewer channels"), "{error}");
        let help = "(\"udp-20000\" is the first channel past that; take it or another one out)";
        assert!(error.ends_with(help), "{error}");
        // What the log has was there before, whatever its name, and is named if it alone is too much.
        let mut logged = [udp(30_000), udp(30_100)].concat();
        logged.iter_mut().for_each(|document| document.position = None);
        let error = capacity.for_documents(&logged).unwrap_err().to_string();
        assert!(error.starts_with("SyncChannel udp-30100: n1 could not"), "{error}");
        let error = capacity.for_documents(&[udp(20_000), logged[..1].to_vec()].concat()).unwrap_err().to_string();
        assert!(error.starts_with("test.yaml:3:18: "), "{error}");
        assert_eq!(capacity.for_documents(&[]), Ok(()));
    });
}
