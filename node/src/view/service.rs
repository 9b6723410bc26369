//! Protocol and port of a flow as an operator writes them: `tcp/443`, `icmp/8`, `protocol/112`.

use std::{fmt, str::FromStr};

use policy::model::{icmp, protocol};
use serde::{Deserialize, Serialize};

/// What a flow is a flow of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FlowService {
    /// The IP protocol number.
    pub protocol: u8,
    /// The destination port; for ICMP `type << 8 | code`; 0 for other protocols.
    pub port: u16,
}

/// Why something is not a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowServiceError {
    /// The protocol is neither a known name nor a number.
    #[error("`{0}` is not a protocol; write tcp, udp, icmp or another name, or protocol/N with a number from 0 to 255")]
    Protocol(String),
    /// The protocol needs a port and has none.
    #[error("`{0}` needs a port, such as {0}/443")]
    PortMissing(String),
    /// The port is not one.
    #[error("`{0}` is not a port; write a number from 0 to 65535")]
    Port(String),
    /// The ICMP type is not one.
    #[error(
        "`{0}` is not an ICMP type; write a name such as echo-request, a number from 0 to 255, or type:code such as 3:4"
    )]
    IcmpType(String),
    /// The protocol has no ports.
    #[error("`{0}` has no ports; leave `/{1}` away")]
    NoPorts(String, String),
}

impl FromStr for FlowService {
    type Err = FlowServiceError;

    fn from_str(text: &str) -> Result<Self, FlowServiceError> {
        let (name, rest) = match text.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        if name.eq_ignore_ascii_case("protocol") {
            let number = rest.and_then(|rest| rest.parse().ok());
            return number
                .map(|protocol| Self { protocol, port: 0 })
                .ok_or_else(|| FlowServiceError::Protocol(text.to_owned()));
        }
        let number = protocol::number(&name.to_ascii_lowercase());
        let protocol = number.ok_or_else(|| FlowServiceError::Protocol(name.to_owned()))?;
        let port = match rest {
            None if protocol::has_ports(protocol) => return Err(FlowServiceError::PortMissing(name.to_owned())),
            // An ICMP flow without a type is a ping.
            None => icmp_named(protocol, "echo-request").unwrap_or(0),
            Some(rest) if protocol::has_ports(protocol) => {
                rest.parse().map_err(|_| FlowServiceError::Port(rest.to_owned()))?
            }
            Some(rest) if protocol::has_icmp_types(protocol) => icmp_port(protocol, rest)?,
            Some(rest) => return Err(FlowServiceError::NoPorts(name.to_owned(), rest.to_owned())),
        };
        Ok(Self { protocol, port })
    }
}

/// A message by name as `type << 8 | code`.
fn icmp_named(protocol: u8, name: &str) -> Option<u16> {
    icmp::named(name).into_iter().find(|message| message.protocol == protocol).map(|message| message.first)
}

/// `8`, `3:4` or `echo-request` as `type << 8 | code`.
fn icmp_port(protocol: u8, text: &str) -> Result<u16, FlowServiceError> {
    let (kind, code) = text.split_once(':').unwrap_or((text, "0"));
    match (kind.parse::<u8>(), code.parse::<u8>()) {
        (Ok(kind), Ok(code)) => Ok(u16::from_be_bytes([kind, code])),
        _ => icmp_named(protocol, text).ok_or_else(|| FlowServiceError::IcmpType(text.to_owned())),
    }
}

impl fmt::Display for FlowService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, code] = self.port.to_be_bytes();
        match protocol::NAMES.iter().find(|(_, number)| *number == self.protocol) {
            None => write!(f, "protocol/{}", self.protocol),
            Some((name, number)) if protocol::has_ports(*number) => write!(f, "{name}/{}", self.port),
            Some((name, number)) if protocol::has_icmp_types(*number) => write!(f, "{name}/{kind}:{code}"),
            Some((name, _)) => f.write_str(name),
        }
    }
}

impl From<FlowService> for String {
    fn from(service: FlowService) -> Self {
        service.to_string()
    }
}

impl TryFrom<String> for FlowService {
    type Error = FlowServiceError;

    fn try_from(text: String) -> Result<Self, FlowServiceError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn services_are_read_as_operators_write_them() {
        let cases = [
            ("tcp/443", 6, 443),
            ("UDP/53", 17, 53),
            ("icmp", 1, 0x0800),
            ("icmp/3:4", 1, 0x0304),
            ("icmp/packet-too-big", 1, 0x0304),
            ("icmpv6/135", 58, 135 << 8),
            ("vrrp", 112, 0),
            ("protocol/253", 253, 0),
        ];
        for (text, protocol, port) in cases {
            assert_eq!(text.parse(), Ok(FlowService { protocol, port }), "{text}");
        }
    }

    #[test]
    fn a_wrong_service_is_refused_with_what_to_write() {
        for (text, said) in [
            ("tpc/443", "`tpc` is not a protocol"),
            ("tcp", "`tcp` needs a port, such as tcp/443"),
            ("tcp/65536", "`65536` is not a port"),
            ("icmp/ping", "`ping` is not an ICMP type"),
            ("vrrp/3", "`vrrp` has no ports; leave `/3` away"),
            ("protocol/256", "`protocol/256` is not a protocol"),
        ] {
            let error = text.parse::<FlowService>().unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(protocol: u8, port: u16) {
            let has_port = protocol::has_ports(protocol) || protocol::has_icmp_types(protocol);
            let service = FlowService { protocol, port: if has_port { port } else { 0 } };
            prop_assert_eq!(service.to_string().parse(), Ok(service));
        }
    }
}
