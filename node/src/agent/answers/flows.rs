//! The latest flow events, with names for people.

use std::time::Duration;

use dataplane::FlowEvent;

use crate::{
    agent::{
        flows::{Kept, Page},
        site::Site,
    },
    view,
};

/// The flags of TCP by bit (RFC 9293, section 3.1).
const TCP_FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

pub(super) async fn flows(site: &Site, query: view::FlowsQuery) -> view::Flows {
    let limit = query.limit.unwrap_or(crate::http::FLOWS_LIMIT_DEFAULT);
    let page = match query.wait_ms.map(Duration::from_millis) {
        Some(within) => site.flows.wait_for_page(query.since, limit, within).await,
        None => site.flows.page(query.since, limit),
    };
    shown(site, page)
}

fn shown(site: &Site, page: Page) -> view::Flows {
    let events = page.events.into_iter().map(|kept| event(site, kept)).collect();
    view::Flows { events, next_since: page.next_since, missed: page.missed }
}

fn event(site: &Site, kept: Kept) -> view::FlowEvent {
    let Kept { sequence, at_ms, event, decided } = kept;
    let revision = decided.as_ref().map(|decided| decided.revision);
    let (ingress_rule, egress_rule) = decided.map_or((None, None), |decided| (decided.ingress, decided.egress));
    view::FlowEvent {
        sequence,
        at_ms,
        interface: interface(site, &event),
        direction: match event.hook.direction {
            policy::Direction::Ingress => view::FlowDirection::Ingress,
            policy::Direction::Egress => view::FlowDirection::Egress,
        },
        verdict: if event.reason.passes() { view::FlowVerdict::Pass } else { view::FlowVerdict::Drop },
        reason: event.reason.name().to_owned(),
        src: event.flow.src,
        src_port: event.flow.src_port,
        dst: event.flow.dst,
        service: view::FlowService { protocol: event.flow.protocol, port: event.flow.dst_port },
        tcp_flags: tcp_flags(event.tcp_flags),
        bytes: event.bytes,
        ingress_rule,
        egress_rule,
        generation: event.generation,
        revision,
        logged: event.logged,
    }
}

fn interface(site: &Site, event: &FlowEvent) -> String {
    let found = site.interfaces.iter().find(|interface| interface.ifindex == event.hook.ifindex);
    found.map_or_else(|| format!("number {}", event.hook.ifindex), |interface| interface.name.clone())
}

fn tcp_flags(bits: u8) -> String {
    let set = TCP_FLAGS.iter().enumerate().filter(|(bit, _)| bits & 1 << bit != 0);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}
