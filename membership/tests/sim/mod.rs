//! A network of clusters in virtual time: one seed decides every delay, loss and choice.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Range,
    time::Duration,
};

use bytes::Bytes;
use identity::NodeId;
use membership::{
    Action, Cluster, Config, Event, Input, LocalMember, Member, MemberState, Meta, PACKET_BYTES_MAX, Timer,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// How datagrams travel.
pub(crate) struct Network {
    pub(crate) delay: Range<Duration>,
    /// The part of the datagrams that is lost.
    pub(crate) loss: f64,
    /// The part that arrives twice.
    pub(crate) duplicates: f64,
    /// Ways (from, to) on which nothing arrives.
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
}

/// A machine: what runs on it, and what it remembers.
struct Host {
    cluster: Option<Cluster>,
    /// Timers of a process that was killed are void.
    process: u32,
    /// What is on its disk.
    incarnation: u64,
    meta: Meta,
    paused: bool,
    /// What came while it was paused.
    waiting: Vec<Input>,
    events: Vec<(Duration, Event)>,
    sent_bytes: usize,
    sent_packets: usize,
}

enum Happening {
    Arrives { from: NodeId, to: NodeId, bytes: Bytes },
    Elapses { node: NodeId, process: u32, timer: Timer },
}

pub(crate) struct Sim {
    pub(crate) seed: u64,
    pub(crate) now: Duration,
    pub(crate) network: Network,
    hosts: BTreeMap<NodeId, Host>,
    queue: BTreeMap<(Duration, u64), Happening>,
    queued: u64,
    rng: StdRng,
}

pub(crate) fn n(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

pub(crate) fn addr(node: NodeId) -> SocketAddr {
    format!("10.77.0.{}:7400", node.get()).parse().unwrap()
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn meta(name: &str) -> Meta {
    Meta { name: name.to_owned(), version: "0.1.0".to_owned(), roles: vec!["cluster".to_owned()], ..Meta::default() }
}

impl Sim {
    /// A LAN with machines n1 to n`count`, on which nothing runs yet.
    pub(crate) fn new(count: u64, seed: u64) -> Self {
        let network =
            Network { delay: Duration::from_micros(100)..ms(2), loss: 0.0, duplicates: 0.0, cut: BTreeSet::new() };
        let hosts = (1..=count).map(|number| (n(number), Host::new(number))).collect();
        let rng = StdRng::seed_from_u64(seed);
        Self { seed, now: Duration::ZERO, network, hosts, queue: BTreeMap::new(), queued: 0, rng }
    }

    /// All machines running and knowing each other.
    pub(crate) fn meshed(count: u64, seed: u64) -> Self {
        let mut sim = Self::new(count, seed);
        (1..=count).for_each(|number| sim.start(n(number)));
        sim.run_until(ms(3_000), "everybody knows everybody", Self::is_meshed);
        sim.forget_events();
        sim
    }

    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.hosts.keys().copied().collect()
    }

    /// Starts the agent of a machine; the others are its seeds.
    pub(crate) fn start(&mut self, node: NodeId) {
        let rng_seed = self.rng.random();
        let host = self.hosts.get_mut(&node).unwrap();
        host.incarnation += 1;
        host.process += 1;
        host.paused = false;
        host.waiting.clear();
        host.events.clear(); // Of the process before.
        let local = LocalMember { node, addr: addr(node), incarnation: host.incarnation, meta: host.meta.clone() };
        let mut cluster = Cluster::new(local, Config::default(), rng_seed);
        let actions = cluster.start();
        host.cluster = Some(cluster);
        self.carry_out(node, actions);
        for seed in self.nodes() {
            self.input(node, Input::Announce { to: seed, addr: addr(seed) });
        }
    }

    pub(crate) fn kill(&mut self, node: NodeId) {
        let host = self.hosts.get_mut(&node).unwrap();
        host.cluster = None;
        host.waiting.clear();
    }

    /// What the disk says of the incarnation, as if it had been restored from elsewhere.
    pub(crate) fn set_incarnation_on_disk(&mut self, node: NodeId, incarnation: u64) {
        self.hosts.get_mut(&node).unwrap().incarnation = incarnation;
    }

    pub(crate) fn incarnation_on_disk(&self, node: NodeId) -> u64 {
        self.hosts[&node].incarnation
    }

    pub(crate) fn pause(&mut self, node: NodeId) {
        self.hosts.get_mut(&node).unwrap().paused = true;
    }

    pub(crate) fn resume(&mut self, node: NodeId) {
        let host = self.hosts.get_mut(&node).unwrap();
        host.paused = false;
        for input in std::mem::take(&mut host.waiting) {
            self.input(node, input);
        }
    }

    pub(crate) fn set_meta(&mut self, node: NodeId, meta: Meta) {
        self.hosts.get_mut(&node).unwrap().meta = meta.clone();
        self.input(node, Input::SetMeta(meta));
    }

    /// Nothing gets from one group to another.
    pub(crate) fn partition(&mut self, groups: &[&[u64]]) {
        for (i, group) in groups.iter().enumerate() {
            for other in groups.iter().enumerate().filter(|(j, _)| *j != i).flat_map(|(_, other)| other.iter()) {
                self.network.cut.extend(group.iter().map(|number| (n(*number), n(*other))));
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.network.cut.clear();
    }

    pub(crate) fn input(&mut self, node: NodeId, input: Input) {
        let host = self.hosts.get_mut(&node).unwrap();
        if host.paused {
            host.waiting.push(input);
        } else if let Some(cluster) = &mut host.cluster {
            let actions = cluster.handle(input);
            self.carry_out(node, actions);
        }
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until the condition holds and says how long that took; fails after `limit`.
    #[track_caller]
    pub(crate) fn run_until(&mut self, limit: Duration, what: &str, condition: impl Fn(&Self) -> bool) -> Duration {
        let (begin, mut looked) = (self.now, None);
        // Looking after each millisecond and not after each datagram: a look costs more than what happens in between.
        while looked.is_some_and(|at| self.now < at + ms(1)) || !condition(self) {
            looked = Some(looked.filter(|at| self.now < *at + ms(1)).unwrap_or(self.now));
            if !self.step(begin + limit) {
                let views: Vec<_> = self.nodes().into_iter().map(|node| (node, self.states(node))).collect();
                panic!("seed {}: not within {limit:?}: {what}\n{views:#?}", self.seed);
            }
        }
        self.now - begin
    }

    pub(crate) fn members(&self, node: NodeId) -> Vec<Member> {
        self.hosts[&node].cluster.as_ref().map(Cluster::members).unwrap_or_default()
    }

    pub(crate) fn member(&self, at: NodeId, of: NodeId) -> Option<Member> {
        self.members(at).into_iter().find(|member| member.node == of)
    }

    pub(crate) fn states(&self, node: NodeId) -> Vec<(u64, MemberState)> {
        self.members(node).into_iter().map(|member| (member.node.get(), member.state)).collect()
    }

    pub(crate) fn running(&self) -> Vec<NodeId> {
        self.hosts.iter().filter(|(_, host)| host.cluster.is_some()).map(|(node, _)| *node).collect()
    }

    /// Whether every running node sees `node` in this state.
    pub(crate) fn all_see(&self, node: NodeId, state: MemberState) -> bool {
        let others = self.running().into_iter().filter(|other| *other != node);
        others.into_iter().all(|other| self.member(other, node).is_some_and(|member| member.state == state))
    }

    /// Whether all running nodes see each other alive, with the metadata that each told last.
    pub(crate) fn is_meshed(&self) -> bool {
        let running = self.running();
        running.iter().all(|at| {
            running.iter().all(|of| {
                let (member, host) = (self.member(*at, *of), &self.hosts[of]);
                member.is_some_and(|member| member.state == MemberState::Alive && member.meta == host.meta)
            })
        })
    }

    pub(crate) fn events(&self, node: NodeId) -> Vec<Event> {
        self.hosts[&node].events.iter().map(|(_, event)| event.clone()).collect()
    }

    /// What follows from the events of a node; must be what it says of the others.
    pub(crate) fn told(&self, node: NodeId) -> BTreeMap<NodeId, Member> {
        let mut told: BTreeMap<NodeId, Member> = BTreeMap::new();
        for event in self.events(node) {
            let (of, state) = match event {
                Event::Joined(member) | Event::Changed(member) => {
                    told.insert(member.node, member);
                    continue;
                }
                Event::Suspected(of) => (of, MemberState::Suspect),
                Event::Down(of) => (of, MemberState::Down),
                Event::Left(of) => (of, MemberState::Left),
            };
            told.entry(of).and_modify(|member| member.state = state);
        }
        told
    }

    /// Draws from the seed of the simulation.
    pub(crate) fn draw(&mut self, range: Range<u64>) -> u64 {
        self.rng.random_range(range)
    }

    pub(crate) fn all_events(&self) -> Vec<(NodeId, Duration, Event)> {
        let of_host = |(node, host): (&NodeId, &Host)| -> Vec<_> {
            host.events.iter().map(|(at, event)| (*node, *at, event.clone())).collect()
        };
        self.hosts.iter().flat_map(of_host).collect()
    }

    pub(crate) fn forget_events(&mut self) {
        for host in self.hosts.values_mut() {
            host.events.clear();
            (host.sent_bytes, host.sent_packets) = (0, 0);
        }
    }

    /// Bytes and datagrams that a node has sent since events were forgotten.
    pub(crate) fn sent(&self, node: NodeId) -> (usize, usize) {
        (self.hosts[&node].sent_bytes, self.hosts[&node].sent_packets)
    }

    /// The next thing happens, if it does before `end`.
    fn step(&mut self, end: Duration) -> bool {
        let Some(((at, _), happening)) = self.queue.pop_first() else { return false };
        if at > end {
            self.enqueue(at, happening);
            return false;
        }
        self.now = at;
        match happening {
            Happening::Arrives { from, to, bytes } => self.input(to, Input::Datagram { from, bytes }),
            Happening::Elapses { node, process, timer } => {
                if self.hosts[&node].process == process {
                    self.input(node, Input::Timer(timer));
                }
            }
        }
        true
    }

    fn carry_out(&mut self, node: NodeId, actions: Vec<Action>) {
        for action in actions {
            let host = self.hosts.get_mut(&node).unwrap();
            match action {
                Action::PersistIncarnation(incarnation) => {
                    assert!(incarnation > host.incarnation, "incarnations only go up");
                    host.incarnation = incarnation;
                }
                Action::Event(event) => host.events.push((self.now, event)),
                Action::Schedule { after, timer } => {
                    let process = host.process;
                    self.enqueue(self.now + after, Happening::Elapses { node, process, timer });
                }
                Action::Send { to, bytes, .. } => {
                    host.sent_bytes += bytes.len();
                    host.sent_packets += 1;
                    self.transmit(node, to, &bytes);
                }
            }
        }
    }

    fn transmit(&mut self, from: NodeId, to: NodeId, bytes: &Bytes) {
        assert!(bytes.len() <= PACKET_BYTES_MAX, "seed {}: a datagram of {} bytes", self.seed, bytes.len());
        let copies = if self.rng.random_bool(self.network.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            let (loss, delay) = (self.network.loss, self.network.delay.clone());
            let (is_lost, delay) = (self.rng.random_bool(loss), self.rng.random_range(delay));
            if !is_lost && !self.network.cut.contains(&(from, to)) {
                self.enqueue(self.now + delay, Happening::Arrives { from, to, bytes: bytes.clone() });
            }
        }
    }

    fn enqueue(&mut self, at: Duration, happening: Happening) {
        self.queue.insert((at, self.queued), happening);
        self.queued += 1;
    }
}

impl Host {
    fn new(number: u64) -> Self {
        let meta = meta(&format!("lb{number}"));
        let (waiting, events) = (Vec::new(), Vec::new());
        Self {
            cluster: None,
            process: 0,
            incarnation: 0,
            meta,
            paused: false,
            waiting,
            events,
            sent_bytes: 0,
            sent_packets: 0,
        }
    }
}
