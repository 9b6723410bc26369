//! Channels as a node's configuration (or a document) declares them: a name of the catalogue with changes, or written out.

use std::net::IpAddr;

use identity::Role;
use serde::{Deserialize, Serialize};

use super::{CHANNEL_ADDRESSES_MAX, Channel, Ends, HEDGEROW, NAMES, PortSpan, WIRE_PORTS_MAX, Wire, catalogue};
use crate::model::protocol;

/// A channel as it is written. Every field but the name changes what the catalogue says of that name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelSpec {
    /// A name of the catalogue, or any other with `protocol`.
    pub name: String,
    /// The role of its interfaces. Without one: that of the catalogue, else `cluster`.
    pub interface: Option<Role>,
    /// The protocol, by name or number.
    pub protocol: Option<ProtocolSpec>,
    /// The first destination port.
    pub port: Option<u16>,
    /// How many consecutive ports (IPVS synchronisation: one for each thread). Without it: 1.
    pub ports: Option<u16>,
    /// One multicast group.
    pub group: Option<IpAddr>,
    /// Several multicast groups.
    pub groups: Vec<IpAddr>,
    /// Whether members speak to each other directly. Without it: as the catalogue says; of a channel that is written out, if it has no group.
    pub unicast: Option<bool>,
    /// The time to live that every packet must have.
    pub ttl: Option<u8>,
    /// Who may come to this node's server, members or not (`management`).
    pub from: Vec<IpAddr>,
}

/// A protocol by number or by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ProtocolSpec {
    /// 0 to 255.
    Number(u8),
    /// A name of [`protocol::NAMES`].
    Name(String),
}

/// Why a declaration is not a channel. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Not in the catalogue, and not written out.
    #[error("the channel \"{name}\" is not in the catalogue{}; use one of its names ({}), or write the channel out with `protocol` and `port`", nearest(.name), NAMES.join(", "))]
    Unknown {
        /// What was written.
        name: String,
    },
    /// The channel that is always on.
    #[error(
        "the channel \"{HEDGEROW}\" is always on, at the port that the cluster listens on; take the declaration out"
    )]
    BuiltIn,
    /// No name at all.
    #[error("a channel has no name; write `name = \"vrrp\"`, say")]
    NoName,
    /// A protocol that has no such name.
    #[error(
        "the channel \"{channel}\" names the protocol \"{protocol}\", which is not known; write its number, 0 to 255"
    )]
    UnknownProtocol {
        /// The channel.
        channel: String,
        /// What was written.
        protocol: String,
    },
    /// A protocol with ports, declared without.
    #[error("the channel \"{channel}\" has no port; write `port = …`")]
    NoPort {
        /// The channel.
        channel: String,
    },
    /// A port for a protocol that has none.
    #[error("the channel \"{channel}\" is of IP protocol {protocol}, which has no ports; take `port` out")]
    PortWithoutProtocol {
        /// The channel.
        channel: String,
        /// IP protocol number.
        protocol: u8,
    },
    /// Ports outside 1 to 65535 or too many.
    #[error(
        "the channel \"{channel}\" asks for {count} ports from {first} on; ports are 1 to 65535, at most {WIRE_PORTS_MAX} of them"
    )]
    Ports {
        /// The channel.
        channel: String,
        /// First port.
        first: u16,
        /// How many.
        count: u16,
    },
    /// A channel with several wires, of which one value cannot change all.
    #[error(
        "the channel \"{channel}\" has several protocols and ports, which `{field}` cannot change together; write it out under another name"
    )]
    Several {
        /// The channel.
        channel: String,
        /// The field.
        field: &'static str,
    },
    /// Not multicast.
    #[error("the channel \"{channel}\" has the group {group}, which is not a multicast address")]
    NotAGroup {
        /// The channel.
        channel: String,
        /// What was written.
        group: IpAddr,
    },
    /// A group and TCP, or a group and outsiders.
    #[error("the channel \"{channel}\" has groups, which do not go with {what}; take one of the two out")]
    GroupConflict {
        /// The channel.
        channel: String,
        /// What they do not go with.
        what: &'static str,
    },
    /// Outsiders without a port to come to.
    #[error("the channel \"{channel}\" has `from`, which needs TCP or UDP; declare the protocol")]
    FromWithoutPort {
        /// The channel.
        channel: String,
    },
    /// Nobody may speak.
    #[error("the channel \"{channel}\" is open to nobody; {what}")]
    Nobody {
        /// The channel.
        channel: String,
        /// What to write.
        what: &'static str,
    },
    /// A protocol that no packet to these groups can have.
    #[error(
        "the channel \"{channel}\" is of IP protocol {protocol}, which does not exist in the family of its groups ({group}); give it a group of the \
         other family, or the protocol that is meant (ICMP is 1 in IPv4 and 58 in IPv6; extension headers of IPv6 are no protocols)"
    )]
    WrongFamily {
        /// The channel.
        channel: String,
        /// IP protocol number.
        protocol: u8,
        /// One of the groups.
        group: IpAddr,
    },
    /// Too many addresses.
    #[error(
        "the channel \"{channel}\" has {count} groups and addresses; at most {CHANNEL_ADDRESSES_MAX} can be declared"
    )]
    TooMany {
        /// The channel.
        channel: String,
        /// How many.
        count: usize,
    },
}

impl TryFrom<ChannelSpec> for Channel {
    type Error = ChannelError;

    fn try_from(spec: ChannelSpec) -> Result<Channel, ChannelError> {
        match spec.name.as_str() {
            "" => return Err(ChannelError::NoName),
            HEDGEROW => return Err(ChannelError::BuiltIn),
            _ => {}
        }
        let mut channel = spec.start()?;
        if let Some(interface) = spec.interface {
            channel.interface = interface;
        }
        spec.change_ports(&mut channel)?;
        spec.change_ends(&mut channel)?;
        if let Some(ttl) = spec.ttl {
            channel.wires.iter_mut().for_each(|wire| wire.ttl = Some(ttl));
        }
        check(&channel)?;
        Ok(channel)
    }
}

impl ChannelSpec {
    /// The channel of the catalogue, or an empty one of the protocol.
    fn start(&self) -> Result<Channel, ChannelError> {
        let known = catalogue(&self.name);
        let protocol = match &self.protocol {
            None => return known.ok_or_else(|| ChannelError::Unknown { name: self.name.clone() }),
            Some(ProtocolSpec::Number(number)) => *number,
            Some(ProtocolSpec::Name(name)) => protocol::number(name)
                .ok_or_else(|| ChannelError::UnknownProtocol { channel: self.name.clone(), protocol: name.clone() })?,
        };
        let Some(mut channel) = known else {
            let ends = Ends::Members { groups: Vec::new(), unicast: self.group.is_none() && self.groups.is_empty() };
            let wires = vec![Wire { protocol, ports: None, ttl: None, ends }];
            return Ok(Channel { name: self.name.clone(), interface: Role::Cluster, wires });
        };
        let wire = self.single(&mut channel, "protocol")?;
        wire.protocol = protocol;
        if !protocol::has_ports(protocol) {
            wire.ports = None;
        }
        Ok(channel)
    }

    fn change_ports(&self, channel: &mut Channel) -> Result<(), ChannelError> {
        if self.port.is_none() && self.ports.is_none() {
            return Ok(());
        }
        let (port, ports) = (self.port, self.ports);
        let wire = self.single(channel, "port")?;
        if !protocol::has_ports(wire.protocol) {
            return Err(ChannelError::PortWithoutProtocol { channel: self.name.clone(), protocol: wire.protocol });
        }
        let first = port
            .or(wire.ports.map(|span| span.first))
            .ok_or_else(|| ChannelError::NoPort { channel: self.name.clone() })?;
        let count = ports.unwrap_or(1);
        let last = u32::from(first) + u32::from(count);
        if first == 0 || count == 0 || count > WIRE_PORTS_MAX || last > 1 << 16 {
            return Err(ChannelError::Ports { channel: self.name.clone(), first, count });
        }
        wire.ports = Some(PortSpan { first, count });
        Ok(())
    }

    fn change_ends(&self, channel: &mut Channel) -> Result<(), ChannelError> {
        let declared: Vec<IpAddr> = self.group.iter().chain(&self.groups).copied().collect();
        let count = declared.len() + self.from.len();
        if count > CHANNEL_ADDRESSES_MAX {
            return Err(ChannelError::TooMany { channel: self.name.clone(), count });
        }
        if let Some(group) = declared.iter().find(|group| !group.is_multicast()) {
            return Err(ChannelError::NotAGroup { channel: self.name.clone(), group: *group });
        }
        if !self.from.is_empty() && !declared.is_empty() {
            return Err(ChannelError::GroupConflict { channel: self.name.clone(), what: "`from`" });
        }
        for wire in &mut channel.wires {
            if !self.from.is_empty() {
                wire.ends = Ends::From(self.from.clone());
            } else if let Ends::Members { groups, unicast } = &mut wire.ends {
                if !declared.is_empty() {
                    groups.clone_from(&declared);
                }
                *unicast = self.unicast.unwrap_or(*unicast);
            }
        }
        Ok(())
    }

    fn single<'a>(&self, channel: &'a mut Channel, field: &'static str) -> Result<&'a mut Wire, ChannelError> {
        match channel.wires.as_mut_slice() {
            [wire] => Ok(wire),
            _ => Err(ChannelError::Several { channel: self.name.clone(), field }),
        }
    }
}

/// What must hold of a channel however it was declared.
fn check(channel: &Channel) -> Result<(), ChannelError> {
    let name = || channel.name.clone();
    for wire in &channel.wires {
        if protocol::has_ports(wire.protocol) && wire.ports.is_none() {
            return Err(ChannelError::NoPort { channel: name() });
        }
        match &wire.ends {
            Ends::Members { groups, .. } if !groups.is_empty() && wire.protocol == protocol::TCP => {
                return Err(ChannelError::GroupConflict { channel: name(), what: "TCP" });
            }
            Ends::Members { groups, unicast: false } if groups.is_empty() => {
                return Err(ChannelError::Nobody { channel: name(), what: "give it a `group` or leave `unicast` on" });
            }
            Ends::Members { groups, unicast: false } if !groups.iter().any(|group| fits(wire, group)) => {
                return Err(ChannelError::WrongFamily { channel: name(), protocol: wire.protocol, group: groups[0] });
            }
            Ends::From(from) if from.is_empty() => {
                return Err(ChannelError::Nobody { channel: name(), what: "list the addresses in `from`" });
            }
            Ends::From(_) if !matches!(wire.protocol, protocol::TCP | protocol::UDP) => {
                return Err(ChannelError::FromWithoutPort { channel: name() });
            }
            _ => {}
        }
    }
    Ok(())
}

fn fits(wire: &Wire, group: &IpAddr) -> bool {
    protocol::is_of_family(wire.protocol, group.is_ipv6())
}

/// A hint at the name that was meant.
fn nearest(name: &str) -> String {
    let ratio = |known: &str| similar::TextDiff::from_chars(name, known).ratio();
    let best = NAMES.iter().map(|known| (ratio(known), *known)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((ratio, known)) if ratio > 0.5 => format!(" (did you mean \"{known}\"?)"),
        _ => String::new(),
    }
}
