//! An Ethernet network: a bridge in a namespace of its own, with a cable to every machine on it, and cables that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::namespace::Namespace;
use super::roof::{Lab, lock};
use crate::{LabError, run, wait};

/// The longest name of an interface that the kernel takes, in bytes.
const INTERFACE_NAME_BYTES_MAX: usize = 15;

/// How long a new link may take to be up.
const LINK_SECONDS_MAX: Duration = Duration::from_secs(5);

/// A network. Frames between two of its ports can be dropped in both directions, without either side losing its carrier.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    hub: Namespace,
    name: String,
    ports: Mutex<BTreeMap<String, String>>,
    cuts: Mutex<BTreeSet<Pair>>,
}

/// Two ports that do not hear each other, in a fixed order.
type Pair = (String, String);

/// A cut that heals when it is dropped.
#[must_use = "a cut heals when it is dropped"]
pub struct Cut {
    network: Network,
    pairs: BTreeSet<Pair>,
}

impl Network {
    /// Lays a network in a new namespace.
    pub fn new(lab: &Lab, name: &str) -> Result<Self, LabError> {
        let hub = lab.namespace(&format!("net-{name}"))?;
        // Without a multicast querier snooping would forget the groups that VRRP and conntrackd need.
        hub.ip(&[
            "link",
            "add",
            "hub",
            "type",
            "bridge",
            "mcast_snooping",
            "0",
            "forward_delay",
            "0",
            "stp_state",
            "0",
        ])?;
        hub.ip(&["link", "set", "hub", "up"])?;
        let inner = Inner { hub, name: name.to_owned(), ports: Mutex::default(), cuts: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its name in the laboratory.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Plugs a machine in: an interface `interface` with these addresses (`10.0.0.1/24`), up, and no generated link-local one.
    pub fn plug(&self, machine: &Namespace, interface: &str, addresses: &[String]) -> Result<(), LabError> {
        let port = port_name(machine.short());
        let hub = &self.inner.hub;
        run::tool(
            "ip",
            &[
                "link",
                "add",
                interface,
                "netns",
                machine.name(),
                "type",
                "veth",
                "peer",
                "name",
                &port,
                "netns",
                hub.name(),
            ],
        )?;
        machine.sysctl(&format!("net.ipv6.conf.{interface}.addr_gen_mode"), "1")?;
        for address in addresses {
            let mut arguments = vec!["address", "add", address.as_str(), "dev", interface];
            if address.contains(':') {
                arguments.push("nodad");
            }
            machine.ip(&arguments)?;
        }
        hub.ip(&["link", "set", &port, "master", "hub", "up"])?;
        machine.ip(&["link", "set", interface, "up"])?;
        lock(&self.inner.ports).insert(machine.short().to_owned(), port);
        // The kernel reports a new link up a little later; keepalived takes one that is not up for a fault.
        let is_up =
            || machine.ip(&["-o", "link", "show", "dev", interface]).is_ok_and(|line| line.contains("state UP"));
        wait::until_true(&format!("{interface} of {} to be up", machine.short()), LINK_SECONDS_MAX, is_up)?;
        Ok(())
    }

    /// Cuts one machine off from every other on this network, both ways.
    pub fn isolate(&self, machine: &Namespace) -> Result<Cut, LabError> {
        let others: Vec<_> = lock(&self.inner.ports).keys().filter(|name| *name != machine.short()).cloned().collect();
        self.cut(&[machine.short().to_owned()], &others)
    }

    /// Cuts every machine of one side off from every machine of the other, both ways.
    pub fn cut(&self, left: &[String], right: &[String]) -> Result<Cut, LabError> {
        let ports = lock(&self.inner.ports).clone();
        let port = |name: &String| {
            ports.get(name).cloned().ok_or_else(|| LabError::Unexpected {
                what: format!("cutting {name} off on the network {}", self.inner.name),
                answer: "it is not plugged in".into(),
            })
        };
        let mut pairs = BTreeSet::new();
        for one in left {
            for other in right {
                pairs.insert((port(one)?, port(other)?));
            }
        }
        lock(&self.inner.cuts).extend(pairs.iter().cloned());
        self.apply()?;
        Ok(Cut { network: self.clone(), pairs })
    }

    /// Loads the whole set of cuts at once.
    fn apply(&self) -> Result<(), LabError> {
        let mut rules =
            String::from("table bridge lab\ndelete table bridge lab\ntable bridge lab {\n chain forward {\n");
        rules.push_str("  type filter hook forward priority 0; policy accept;\n");
        for (one, other) in lock(&self.inner.cuts).iter() {
            rules.push_str(&format!("  iifname \"{one}\" oifname \"{other}\" drop\n"));
            rules.push_str(&format!("  iifname \"{other}\" oifname \"{one}\" drop\n"));
        }
        rules.push_str(" }\n}\n");
        let mut command = self.inner.hub.command("sh", &["-c", "printf %s \"$1\" | nft -f -", "sh"]);
        command.arg(rules);
        run::checked(command, run::TOOL_SECONDS_MAX).map(|_| ())
    }
}

impl Cut {
    /// Heals the cut and says so when that fails.
    pub fn heal(mut self) -> Result<(), LabError> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), LabError> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        lock(&self.network.inner.cuts).retain(|pair| !self.pairs.contains(pair));
        self.pairs.clear();
        self.network.apply()
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // At teardown the namespace may be gone already, and with it the cut.
        let _ = self.undo();
    }
}

fn port_name(machine: &str) -> String {
    machine.chars().take(INTERFACE_NAME_BYTES_MAX).collect()
}
