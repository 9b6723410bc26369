//! Protocols, ports and ICMP messages.

use super::{Decoder, Fields};
use crate::diagnostic::{nearest, shorten};
use crate::document::node::{Node, Value};
use crate::document::{IcmpType, Located};
use crate::model::{Ports, icmp, protocol};

/// Fields that say protocol and ports, wherever they are.
pub(super) const PORT_FIELDS: [&str; 5] = ["protocol", "port", "portRange", "type", "code"];

impl Decoder<'_> {
    /// `protocol` with `port`, `portRange`, or `type` and `code`.
    pub(super) fn ports(&mut self, fields: &Fields<'_>) -> Option<Ports> {
        let node = self.required(fields, "protocol")?;
        let number = self.protocol(node)?;
        if protocol::has_icmp_types(number) {
            self.refuse(fields, &["port", "portRange"], number, "it has `type` and `code`")?;
            return self.icmp_ports(fields, number);
        }
        self.refuse(fields, &["type", "code"], number, "only icmp and icmpv6 have them")?;
        if !protocol::has_ports(number) {
            self.refuse(fields, &["port", "portRange"], number, "tcp, udp and sctp have them")?;
        }
        match (fields.get("port"), fields.get("portRange")) {
            (Some(_), Some(_)) => {
                let message = "`port` and `portRange` are both given";
                self.report(fields.place_of("portRange"), message, "keep one of them");
                None
            }
            (Some(node), None) => {
                let port = self.port(node)?;
                Some(Ports { protocol: number, first: port, last: port })
            }
            (None, Some(node)) => self.port_range(node, number),
            (None, None) => Some(Ports::all(number)),
        }
    }

    /// A name or a number of an IP protocol.
    fn protocol(&mut self, node: &Node) -> Option<u8> {
        let written = match &node.value {
            Value::Number(_) => {
                let number = self.number(node, "`protocol`", u8::MAX.into())?;
                return u8::try_from(number).ok();
            }
            _ => self.text(node, "`protocol`")?,
        };
        let number = protocol::number(written);
        if number.is_none() {
            let help = match nearest(written, protocol::NAMES.iter().map(|(name, _)| *name)) {
                Some(near) => format!("did you mean {near}?"),
                None => "write tcp, udp, sctp, icmp, icmpv6, another name, or a number from 0 to 255".to_owned(),
            };
            self.report(node.place, format!("there is no protocol \"{}\"", shorten(written)), help);
        }
        number
    }

    /// Reports fields that do not go with a protocol.
    fn refuse(&mut self, fields: &Fields<'_>, names: &[&str], number: u8, help: &str) -> Option<()> {
        let name = names.iter().find(|name| fields.get(name).is_some());
        let Some(name) = name else { return Some(()) };
        self.report(fields.place_of(name), format!("{} has no `{name}`", protocol::name(number)), help);
        None
    }

    fn port(&mut self, node: &Node) -> Option<u16> {
        if matches!(&node.value, Value::Text(text) if text.contains('-')) {
            self.report(node.place, "`port` is one port", "use `portRange` for several");
            return None;
        }
        let port = self.number(node, "`port`", u16::MAX.into())?;
        u16::try_from(port).ok()
    }

    /// `first-last`.
    fn port_range(&mut self, node: &Node, number: u8) -> Option<Ports> {
        let written = match &node.value {
            Value::Text(text) => text,
            _ => return self.unexpected(node, "`portRange`", "a text like 8000-8099"),
        };
        let ends = written.split_once('-');
        let ends = ends.and_then(|(first, last)| Some((port_number(first)?, port_number(last)?)));
        let Some((first, last)) = ends else {
            let message = format!("\"{}\" is not a range of ports", shorten(written));
            self.report(node.place, message, "write first-last, for example 8000-8099, from 0 to 65535");
            return None;
        };
        if first > last {
            let message = format!("the port range {first}-{last} is upside down");
            self.report(node.place, message, format!("did you mean {last}-{first}?"));
            return None;
        }
        Some(Ports { protocol: number, first, last })
    }

    fn icmp_ports(&mut self, fields: &Fields<'_>, number: u8) -> Option<Ports> {
        let byte = |decoder: &mut Self, name: &str| match fields.get(name) {
            Some(node) => decoder.number(node, &format!("`{name}`"), u8::MAX.into()).map(|n| u8::try_from(n).ok()),
            None => Some(None),
        };
        match (byte(self, "type")?, byte(self, "code")?) {
            (Some(kind), code) => Some(icmp::message(number, kind, code)),
            (None, Some(_)) => {
                self.report(fields.place_of("code"), "`code` is given without `type`", "add `type`");
                None
            }
            (None, None) => Some(Ports::all(number)),
        }
    }

    /// An entry of `icmp`: a name, or family, type and code.
    pub(super) fn icmp_type(&mut self, node: &Node) -> Option<Located<IcmpType>> {
        let value = match &node.value {
            Value::Text(_) => {
                let names: Vec<(&str, &'static str)> = icmp::NAMES.iter().map(|(name, _, _)| (*name, *name)).collect();
                IcmpType::Named(self.choice(node, "an ICMP message", &names)?)
            }
            _ => {
                let fields = self.fields(node, "an ICMP message", &["family", "type", "code"], &[])?;
                let families = [("ipv4", protocol::ICMP), ("ipv6", protocol::ICMPV6)];
                let family = self.required(&fields, "family")?;
                let number = self.choice(family, "`family`", &families)?;
                self.required(&fields, "type")?;
                IcmpType::Number(self.icmp_ports(&fields, number)?)
            }
        };
        Some(Located { value, place: node.place })
    }
}

/// Digits only: `parse` alone would take a sign.
fn port_number(text: &str) -> Option<u16> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
