//! `spec` of a segment.

use std::collections::BTreeMap;

use super::Decoder;
use super::ports::PORT_FIELDS;
use crate::document::node::Node;
use crate::document::{Place, SegmentSpec, ServiceSpec};
use crate::model::limits::{SEGMENT_ADDRESSES_MAX, SEGMENT_SERVICES_MAX};
use crate::model::{ANY, MEMBERS, SegmentRole};

pub(super) fn decode(decoder: &mut Decoder<'_>, spec: &Node, name: &str) -> Option<SegmentSpec> {
    let fields = decoder.fields(spec, "`spec` of a Segment", &["role", "addresses", "services"], &[])?;
    if [ANY, MEMBERS].contains(&name) {
        let message = format!("the segment \"{name}\" is built in and cannot be written");
        decoder.report(fields.place(), message, "choose another `metadata.name`");
    }
    let role = decoder.required(&fields, "role");
    let role = role.and_then(|node| decoder.choice(node, "`role`", &SegmentRole::NAMES));
    let addresses = decoder.required(&fields, "addresses");
    let addresses = addresses.and_then(|node| decoder.networks(node, "`addresses`", SEGMENT_ADDRESSES_MAX));
    let services = match fields.get("services") {
        Some(node) => services(decoder, node),
        None => Some(Vec::new()),
    };
    Some(SegmentSpec { role: role?, addresses: addresses?, services: services? })
}

fn services(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<ServiceSpec>> {
    let items = decoder.list(node, "`services`", SEGMENT_SERVICES_MAX)?;
    let mut names: BTreeMap<String, Place> = BTreeMap::new();
    let mut services = Vec::with_capacity(items.len());
    for item in items {
        let Some(service) = service(decoder, item) else { continue };
        match names.insert(service.name.value.clone(), service.name.place) {
            Some(first) => decoder.twice("services", &service.name, first),
            None => services.push(service),
        }
    }
    (services.len() == items.len()).then_some(services)
}

fn service(decoder: &mut Decoder<'_>, node: &Node) -> Option<ServiceSpec> {
    let known: Vec<&str> = ["name"].into_iter().chain(PORT_FIELDS).collect();
    let fields = decoder.fields(node, "a service", &known, &[])?;
    let name = decoder.required(&fields, "name").and_then(|node| decoder.name(node, "the name of a service"));
    let ports = decoder.ports(&fields);
    Some(ServiceSpec { name: name?, ports: ports? })
}
