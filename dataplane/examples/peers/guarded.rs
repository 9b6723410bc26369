//! Hedgerow on an interface as on a load balancer: three members, each in both families, VRRP and HAProxy's peers between them,
//! and the channel of Hedgerow itself.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use dataplane::{Enforcer, Kernel, KernelConfig, TableSizes, TcMode, Timeouts, XdpMode};
use identity::{Fingerprint, MemberAddress, MemberRecord, NodeId, Role};
use ipnet::IpNet;
use policy::{Channel, Image, LocalInterface, Obligation, catalogue, channel::PortSpan, obligations};

const CLUSTER_PORT: u16 = 7_400;
const PEERS_PORT: u16 = 10_000;
const MEMBERS: u8 = 3;

/// A data path in the kernel and what each image must prove there.
pub(crate) struct Guarded {
    pub(crate) kernel: Kernel,
    pub(crate) owed: Vec<Obligation>,
    revision: u64,
}

impl Guarded {
    /// On one interface, with its guard.
    pub(crate) fn open(bpffs: &Path, name: &str, ifindex: u32, xdp: XdpMode) -> Guarded {
        let directory: PathBuf = bpffs.join(name);
        std::fs::create_dir(&directory).expect("a directory for the pins");
        let addresses = addresses_of(1).map(|addr| net(addr, if addr.is_ipv4() { 24 } else { 64 }));
        let role = Role::Cluster;
        let interfaces = vec![LocalInterface { name: name.to_owned(), ifindex, role, addresses: addresses.into() }];
        let config = KernelConfig {
            bpffs: directory,
            interfaces: interfaces.clone(),
            sizes: TableSizes::default(),
            xdp,
            tc: TcMode::Auto,
            timeouts: Timeouts::default(),
        };
        let mut kernel = Kernel::open(config).unwrap_or_else(|error| panic!("{error}"));
        let members: Vec<MemberRecord> = (1..=MEMBERS).map(member).collect();
        let me = members[0].node;
        let guard = policy::guard(me, &interfaces, &channels(), &members, CLUSTER_PORT);
        let guard = guard.unwrap_or_else(|error| panic!("{error}"));
        kernel.set_guard(&guard).unwrap_or_else(|error| panic!("{error}"));
        Guarded { kernel, owed: obligations(&guard, &interfaces), revision: 0 }
    }

    /// Loads, reads back, proves and flips.
    pub(crate) fn replace(&mut self, image: &Image) {
        self.revision += 1;
        let prepared = self.kernel.prepare(self.revision, image, &self.owed);
        let prepared = prepared.unwrap_or_else(|error| panic!("{error}"));
        self.kernel.activate(prepared).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn channels() -> [Channel; 2] {
    let here = |name: &str| Channel { interface: Role::Cluster, ..catalogue(name).expect("it is in the catalogue") };
    let mut peers = here("haproxy-peers");
    for wire in &mut peers.wires {
        wire.ports = Some(PortSpan::one(PEERS_PORT));
    }
    [here("vrrp"), peers]
}

fn member(number: u8) -> MemberRecord {
    let addresses = addresses_of(number);
    MemberRecord {
        node: NodeId::new(u64::from(number)).expect("not zero"),
        name: format!("lb{number}"),
        endpoint: (addresses[0], CLUSTER_PORT).into(),
        api: None,
        fingerprint: Fingerprint([number; 32]),
        addresses: addresses.map(|addr| MemberAddress { role: Role::Cluster, addr }).into(),
        witness: false,
    }
}

fn addresses_of(number: u8) -> [IpAddr; 2] {
    let last = u16::from(number);
    [IpAddr::V4(Ipv4Addr::new(10, 77, 0, number)), IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last))]
}

fn net(addr: IpAddr, length: u8) -> IpNet {
    IpNet::new(addr, length).expect("a length of the family")
}
