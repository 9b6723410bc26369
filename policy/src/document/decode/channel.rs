//! `spec` of a sync channel.

use std::net::IpAddr;

use identity::Role;

use super::Decoder;
use crate::channel::{CHANNEL_ADDRESSES_MAX, Channel, ChannelSpec, ProtocolSpec};
use crate::document::node::{Node, Value};

const FIELDS: [&str; 9] = ["interface", "protocol", "port", "ports", "group", "groups", "unicast", "ttl", "from"];
const ROLES: [(&str, Role); 3] = [("cluster", Role::Cluster), ("vip", Role::Vip), ("backend", Role::Backend)];

/// A declaration that makes a channel, under the name of the document.
pub(super) fn decode(decoder: &mut Decoder<'_>, spec: &Node, name: &str) -> Option<ChannelSpec> {
    let fields = decoder.fields(spec, "`spec` of a SyncChannel", &FIELDS, &[])?;
    let mut channel = ChannelSpec { name: name.to_owned(), ..ChannelSpec::default() };
    if let Some(node) = fields.get("interface") {
        channel.interface = Some(decoder.choice(node, "`interface`", &ROLES)?);
    }
    if let Some(node) = fields.get("protocol") {
        channel.protocol = Some(protocol(decoder, node)?);
    }
    if let Some(node) = fields.get("port") {
        channel.port = u16::try_from(decoder.number(node, "`port`", u16::MAX.into())?).ok();
    }
    if let Some(node) = fields.get("ports") {
        channel.ports = u16::try_from(decoder.number(node, "`ports`", u16::MAX.into())?).ok();
    }
    if let Some(node) = fields.get("group") {
        channel.group = Some(address(decoder, node, "`group`")?);
    }
    if let Some(node) = fields.get("groups") {
        channel.groups = addresses(decoder, node, "`groups`")?;
    }
    if let Some(node) = fields.get("unicast") {
        channel.unicast = Some(decoder.flag(node, "`unicast`")?);
    }
    if let Some(node) = fields.get("ttl") {
        channel.ttl = u8::try_from(decoder.number(node, "`ttl`", u8::MAX.into())?).ok();
    }
    if let Some(node) = fields.get("from") {
        channel.from = addresses(decoder, node, "`from`")?;
    }
    if let Err(error) = Channel::try_from(channel.clone()) {
        decoder.report(fields.place(), error.to_string(), "see the channels of `hedgerow channels`");
        return None;
    }
    Some(channel)
}

fn protocol(decoder: &mut Decoder<'_>, node: &Node) -> Option<ProtocolSpec> {
    match &node.value {
        Value::Number(_) => {
            let number = decoder.number(node, "`protocol`", u8::MAX.into())?;
            u8::try_from(number).ok().map(ProtocolSpec::Number)
        }
        _ => decoder.text(node, "`protocol`").map(|name| ProtocolSpec::Name(name.to_owned())),
    }
}

fn address(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<IpAddr> {
    let text = decoder.text(node, what)?;
    let address = text.parse().ok();
    if address.is_none() {
        let message = format!("{what} cannot be \"{}\"", crate::diagnostic::shorten(text));
        decoder.report(node.place, message, "write one address without a prefix length");
    }
    address
}

fn addresses(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<Vec<IpAddr>> {
    let items = decoder.list(node, what, CHANNEL_ADDRESSES_MAX)?;
    let addresses: Vec<IpAddr> = items.iter().filter_map(|item| address(decoder, item, what)).collect();
    (addresses.len() == items.len()).then_some(addresses)
}
