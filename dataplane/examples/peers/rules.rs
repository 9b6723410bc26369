//! The same list of rules for both: for Hedgerow as a model, for nftables as a script. Each rule lets one host in to one TCP port;
//! everything else is denied.

use std::{collections::BTreeMap, fmt::Write, net::Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use policy::{
    Model,
    model::{
        Action, DefaultAction, ExistingFlows, Mode, Peer, Policy, Ports, Rule, Scope, ServiceMatch, Settings, Tier,
        protocol,
    },
    sample::SplitMix64,
};

/// The table that nftables gets.
pub(crate) const TABLE: &str = "hr_bench";
/// First octets of hosts: none is special, and none is an address of this node.
const OCTETS: std::ops::Range<u8> = 20..100;

/// Hosts, each with the port that it may reach.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) list: Vec<(Ipv4Addr, u16)>,
}

/// How nftables is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One rule for each, searched one after the other.
    Linear,
    /// One rule with a verdict map in a hash table.
    Hash,
    /// One rule with a verdict map that could also hold networks and ranges.
    Intervals,
}

impl Rules {
    /// So many different hosts.
    pub(crate) fn random(count: usize, seed: u64) -> Rules {
        let mut random = SplitMix64::new(seed);
        let mut hosts = BTreeMap::new();
        while hosts.len() < count {
            let [a, b, c, d, ..] = random.next_u64().to_le_bytes();
            let first = OCTETS.start + a % (OCTETS.end - OCTETS.start);
            hosts.insert(Ipv4Addr::new(first, b, c, d), random.word().max(1));
        }
        // Not in the order of their addresses.
        let mut list: Vec<(Ipv4Addr, u16)> = hosts.into_iter().collect();
        for last in (1..list.len()).rev() {
            list.swap(last, random.below(last + 1));
        }
        Rules { list }
    }

    /// One policy for everybody, and a default that denies.
    pub(crate) fn model(&self) -> Model {
        let rules = self.list.iter().enumerate().map(|(number, (host, port))| {
            let scope = Scope::Cidr(IpNet::V4(Ipv4Net::from(*host)));
            let ports = Ports { protocol: protocol::TCP, first: *port, last: *port };
            rule(format!("r{number}"), scope, vec![ServiceMatch { target: None, ports }])
        });
        let policy = Policy {
            name: "hosts".to_owned(),
            tier: Tier::Platform,
            order: 0,
            applies_to: Scope::Any,
            mode: Mode::Enforce,
            existing_flows: ExistingFlows::Cut,
            ingress: Some(rules.collect()),
            egress: Some(vec![rule("out".to_owned(), Scope::Any, vec![])]),
            owner: None,
            review_by: None,
            expires: None,
        };
        let settings = Settings { default_action: DefaultAction::Deny };
        Model { policies: vec![policy], settings, ..Model::default() }
    }

    /// A script that replaces whatever the table holds by these rules, in one transaction.
    pub(crate) fn script(&self, form: Form, device: &str) -> String {
        let table = format!("{TABLE}_{device}");
        let hook = format!("type filter hook ingress device \"{device}\" priority 0; policy drop;");
        let mut text = format!("table netdev {table} {{ chain c {{ {hook}\n}}\n}}\nflush chain netdev {table} c\n");
        if form == Form::Linear {
            writeln!(text, "table netdev {table} {{ chain c {{").expect("a string can be written to");
            for (host, port) in &self.list {
                writeln!(text, "ip saddr {host} tcp dport {port} accept").expect("a string can be written to");
            }
        } else {
            let flags = if form == Form::Intervals { "flags interval; " } else { "" };
            let map = format!("map m {{ type ipv4_addr . inet_service : verdict; {flags}\n");
            let elements = self.list.iter().map(|(host, port)| format!("{host} . {port} : accept"));
            let elements = elements.collect::<Vec<_>>().join(",\n");
            write!(
                text,
                "table netdev {table} {{ {map} }}\n}}\nflush map netdev {table} m\ntable netdev {table} {{ {map} elements = {{ {elements} }}\n}}\n\
                 chain c {{ ip saddr . tcp dport vmap @m\n"
            )
            .expect("a string can be written to");
        }
        text.push_str("}\n}\n");
        text
    }
}

fn rule(name: String, scope: Scope, services: Vec<ServiceMatch>) -> Rule {
    Rule {
        name,
        action: Action::Allow,
        peers: vec![Peer { scope, except: vec![] }],
        services,
        log: false,
        limits: None,
    }
}
