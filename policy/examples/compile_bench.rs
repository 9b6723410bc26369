//! Compiles policies of 10 to 100,000 rules and prints, for each, the time (the fastest of several) and the size of the image.
//!
//! ```text
//! cargo run -p policy --example compile_bench [RULES_MAX]
//! ```
#![expect(clippy::print_stdout, reason = "a table for people is what this program is for")]

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use policy::{
    CompileLimits, Image, Model, TableId, compile,
    image::TABLES,
    model::{
        Action, ExistingFlows, Mode, Peer, Policy, Ports, Rule, Scope, Segment, SegmentRole, ServiceMatch, Tier,
        protocol,
    },
    sample::SplitMix64,
};

/// Numbers of rules that are compiled.
const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
/// Compilations of which the fastest counts.
const ROUNDS: usize = 3;

/// A shape of policy and how a model of so many rules is made.
type Shape = (&'static str, fn(usize) -> Model);

fn main() {
    let most = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(usize::MAX);
    let shapes: [Shape; 4] = [("apps", apps), ("hosts", hosts), ("layers", layers), ("egress", egress)];
    println!("{:8} {:>8} {:>10} {:>12}  elements (past the default limit: !)", "shape", "rules", "ms", "bytes");
    for (name, make) in shapes {
        for size in SIZES.into_iter().filter(|&size| size <= most) {
            let model = make(size);
            let (time, image) = measure(&model);
            let millis = time.as_secs_f64() * 1e3;
            println!(
                "{name:8} {:8} {millis:10.2} {:12}  {}",
                image.rules.len(),
                image.tables.bytes(),
                elements(&image)
            );
        }
    }
}

/// Room for everything: to see how much a policy needs that does not fit by default.
const AMPLE: CompileLimits = CompileLimits {
    chunks_max: 1 << 20,
    skips_max: 1 << 22,
    classes_max: 1 << 22,
    base_max: 1 << 26,
    cells_max: 1 << 24,
    pairs_max: 1 << 22,
    vbase_max: 1 << 26,
    vcells_max: 1 << 24,
    verdicts_max: 1 << 22,
    rules_max: 1 << 22,
    limits_max: 1 << 16,
};

fn measure(model: &Model) -> (Duration, Image) {
    let members: Vec<IpAddr> = (1..=5).map(|n| IpAddr::V4(Ipv4Addr::new(10, 77, 0, n))).collect();
    let fits = compile(model, &members, &CompileLimits::default()).is_ok();
    let limits = if fits { CompileLimits::default() } else { AMPLE };
    let round = || {
        let start = Instant::now();
        let image = compile(model, &members, &limits).unwrap_or_else(|error| panic!("{error}"));
        (start.elapsed(), image)
    };
    (0..ROUNDS).map(|_| round()).min_by_key(|(time, _)| *time).expect("there is at least one round")
}

fn elements(image: &Image) -> String {
    let defaults = CompileLimits::default();
    let shown = TABLES.into_iter().filter(|table| !matches!(table, TableId::Root4 | TableId::Root6 | TableId::Ports));
    let words = shown.map(|table| {
        let count = image.tables.elements(table);
        let mark = if count > defaults.elements(table) { "!" } else { "" };
        format!("{} {count}{mark}", table.name())
    });
    words.collect::<Vec<String>>().join(", ")
}

/// One policy for each application of two addresses, ten rules each: its own clients, clients that applications share, a few ports.
fn apps(rules: usize) -> Model {
    let mut random = SplitMix64::new(1);
    let mut builder = Builder::default();
    let shared: Vec<usize> = (20..40).map(|site| builder.segment(networks(&mut random, 50, site))).collect();
    for app in 0..rules.div_ceil(10) {
        let vip = builder.segment(vec![host_v4(0x0a00_0000 + 2 * app), host_v6(app)]);
        let rules = (0..10).map(|number| {
            let peers = match number {
                0 => vec![],
                1..=4 => vec![segment(*random.pick(&shared))],
                _ => networks(&mut random, 2, CROWD).into_iter().map(cidr).collect(),
            };
            let port = *random.pick(&[80, 443, 8080, 8443, 5432, 3306, 22, 25, 53, 9100]);
            rule(number, Action::Allow, peers, vec![tcp(port, port)])
        });
        builder.policy(Tier::Application, Scope::Segments(vec![vip]), Some(rules.collect()), None);
    }
    builder.finish()
}

/// One rule for each scattered host, for everybody: the longest list there can be.
fn hosts(rules: usize) -> Model {
    let mut random = SplitMix64::new(2);
    let mut builder = Builder::default();
    let list = (0..rules).map(|number| {
        let services = if random.once_in(2) { vec![] } else { vec![tcp(random.word().max(1), u16::MAX)] };
        let services = services.into_iter().map(|one: ServiceMatch| tcp(one.ports.first, one.ports.first)).collect();
        rule(number, Action::Deny, vec![cidr(scattered(&mut random))], services)
    });
    builder.policy(Tier::Emergency, Scope::Any, Some(list.collect()), None);
    builder.finish()
}

/// Half of the rules for everybody in the platform tier, half in policies of applications.
fn layers(rules: usize) -> Model {
    let mut random = SplitMix64::new(3);
    let mut builder = Builder::default();
    let platform = (0..rules / 2).map(|number| {
        let port = random.word().max(1);
        rule(
            number,
            Action::Allow,
            networks(&mut random, 1, CROWD).into_iter().map(cidr).collect(),
            vec![tcp(port, port)],
        )
    });
    builder.policy(Tier::Platform, Scope::Any, Some(platform.collect()), None);
    for app in 0..(rules / 2).div_ceil(10) {
        let vip = builder.segment(vec![host_v4(0x0a00_0000 + app)]);
        let rules = (0..10).map(|number| {
            let first = random.word().max(1);
            let services = if number == 0 { vec![tcp(1024, u16::MAX)] } else { vec![tcp(first, first)] };
            let peers =
                if number < 5 { vec![] } else { networks(&mut random, 1, CROWD).into_iter().map(cidr).collect() };
            rule(number, Action::Allow, peers, services)
        });
        builder.policy(Tier::Application, Scope::Segments(vec![vip]), Some(rules.collect()), None);
    }
    builder.finish()
}

/// Applications whose servers also have rules for what they open, to segments of each other.
fn egress(rules: usize) -> Model {
    let mut random = SplitMix64::new(4);
    let mut builder = Builder::default();
    let count = rules.div_ceil(10).max(2);
    let segments: Vec<usize> = (0..count)
        .map(|app| builder.segment((0..4).map(|host| host_v4(0x0a00_0000 + app * 4 + host)).collect()))
        .collect();
    for &own in &segments {
        let list = |random: &mut SplitMix64| -> Vec<Rule> {
            let peers =
                |random: &mut SplitMix64| vec![segment(*random.pick(&segments)), segment(*random.pick(&segments))];
            (0..5)
                .map(|number| rule(number, Action::Allow, peers(random), vec![tcp(443, 443), tcp(8000, 8099)]))
                .collect()
        };
        let (ingress, egress) = (list(&mut random), list(&mut random));
        builder.policy(Tier::Application, Scope::Segments(vec![own]), Some(ingress), Some(egress));
    }
    builder.finish()
}

#[derive(Default)]
struct Builder {
    segments: Vec<Segment>,
    policies: Vec<Policy>,
}

impl Builder {
    fn segment(&mut self, mut addresses: Vec<IpNet>) -> usize {
        addresses.sort();
        addresses.dedup();
        let name = format!("s{:06}", self.segments.len());
        self.segments.push(Segment {
            name,
            role: SegmentRole::Vip,
            labels: BTreeMap::new(),
            addresses,
            services: vec![],
        });
        self.segments.len() - 1
    }

    fn policy(&mut self, tier: Tier, applies_to: Scope, ingress: Option<Vec<Rule>>, egress: Option<Vec<Rule>>) {
        self.policies.push(Policy {
            name: format!("p{:06}", self.policies.len()),
            tier,
            order: 0,
            applies_to,
            mode: Mode::Enforce,
            existing_flows: ExistingFlows::Cut,
            ingress,
            egress,
            owner: None,
            review_by: None,
            expires: None,
        });
    }

    fn finish(mut self) -> Model {
        self.policies.sort_by(|one, other| (one.tier, &one.name).cmp(&(other.tier, &other.name)));
        Model { segments: self.segments, policies: self.policies, ..Model::default() }
    }
}

fn rule(number: usize, action: Action, peers: Vec<Peer>, services: Vec<ServiceMatch>) -> Rule {
    Rule { name: format!("r{number}"), action, peers, services, log: false, limits: None }
}

fn tcp(first: u16, last: u16) -> ServiceMatch {
    ServiceMatch { target: None, ports: Ports { protocol: protocol::TCP, first, last } }
}

fn segment(index: usize) -> Peer {
    Peer { scope: Scope::Segments(vec![index]), except: vec![] }
}

fn cidr(network: IpNet) -> Peer {
    Peer { scope: Scope::Cidr(network), except: vec![] }
}

fn host_v4(bits: usize) -> IpNet {
    let bits = u32::try_from(bits).expect("few enough hosts");
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), 32))
}

fn host_v6(number: usize) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(0x2001_0db8 << 96 | number as u128), 128))
}

fn scattered(random: &mut SplitMix64) -> IpNet {
    let [a, b, c, d, ..] = random.next_u64().to_le_bytes();
    let length = *random.pick(&[32, 32, 32, 32, 24, 24, 20]);
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length).trunc())
}

/// The part of the address space that all applications share.
const CROWD: u8 = 100;

/// So many networks of one /8, of which many lie in each other.
fn networks(random: &mut SplitMix64, count: usize, site: u8) -> Vec<IpNet> {
    (0..count)
        .map(|_| {
            let [b, c, d, ..] = random.next_u64().to_le_bytes();
            let length = *random.pick(&[32, 32, 28, 24, 24, 20, 16]);
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(site, b, c, d), length).trunc())
        })
        .collect()
}
