//! What is remembered of flows and fragments: the mirror of `bpf/state.h` and `bpf/fragment.h`.

use std::{collections::HashMap, hash::Hash, net::IpAddr};

use crate::{
    enforcer::{Hook, Timeouts},
    reason::Reason,
    userspace::frame::{FIN, ICMP, ICMP6, Packet, RST, TCP, UDP},
};

/// A flow in canonical order, so that both of its directions find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    a: (IpAddr, u16),
    b: (IpAddr, u16),
    protocol: u8,
    question: u8,
}

/// What is remembered of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) generation: u32,
    pub(crate) seen_s: u64,
    pub(crate) rules: (u32, u32),
    /// The source of the opening packet is the b of the key.
    pub(crate) opener_is_b: bool,
    pub(crate) keep: bool,
    pub(crate) answered: bool,
    pub(crate) closing: bool,
    /// Only says that the flow is not new; lets nothing pass.
    pub(crate) mute: bool,
    /// Still new to a limit that only observes.
    pub(crate) over: bool,
}

/// Whether the source of a packet is the b of its flow's key.
pub(crate) fn source_is_b(packet: &Packet) -> bool {
    (packet.src, packet.src_port) > (packet.dst, packet.dst_port)
        && (packet.src != packet.dst || packet.src_port > packet.dst_port)
}

impl FlowKey {
    pub(crate) fn of(packet: &Packet) -> FlowKey {
        let port = |port| if matches!(packet.protocol, ICMP | ICMP6) { packet.echo_id } else { port };
        let (src, dst) = ((packet.src, port(packet.src_port)), (packet.dst, port(packet.dst_port)));
        let (a, b) = if source_is_b(packet) { (dst, src) } else { (src, dst) };
        FlowKey { a, b, protocol: packet.protocol, question: packet.question.unwrap_or(0) }
    }
}

impl Entry {
    pub(crate) fn alive(&self, packet: &Packet, timeouts: &Timeouts, now_s: u64) -> bool {
        let limit = match packet.protocol {
            TCP if self.closing => timeouts.tcp_closing_s,
            TCP if self.answered => timeouts.tcp_s,
            TCP => timeouts.tcp_opening_s,
            UDP if self.answered => timeouts.udp_s,
            UDP => timeouts.udp_opening_s,
            _ => timeouts.other_s,
        };
        now_s.saturating_sub(self.seen_s) <= u64::from(limit)
    }

    pub(crate) fn note(&mut self, packet: &Packet, answers: bool, now_s: u64) {
        self.seen_s = now_s;
        self.answered |= answers;
        self.closing |= packet.protocol == TCP && packet.flags & (FIN | RST) != 0;
    }
}

/// A table with a bound: the entry that is oldest among a few gives way.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    entries: HashMap<K, V>,
    max: usize,
}

impl<K: Hash + Eq + Copy, V> Bounded<K, V> {
    pub(crate) fn new(max: usize) -> Bounded<K, V> {
        Bounded { entries: HashMap::new(), max }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }

    pub(crate) fn insert(&mut self, key: K, value: V, age: impl Fn(&V) -> u64) {
        const LOOKED_AT: usize = 8;
        if self.entries.len() >= self.max && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().take(LOOKED_AT).min_by_key(|(_, value)| age(value)).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        self.entries.insert(key, value);
    }
}

/// A datagram in fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FragmentKey {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    /// Of IPv6 the identification is that of the addresses alone (RFC 8200, 4.5).
    protocol: Option<u8>,
    /// Of a sync flow, where it is one: the device and the direction of its first fragment. Policy asks for addresses alone.
    place: Option<Hook>,
}

/// Its first fragment.
#[derive(Debug, Clone)]
pub(crate) struct FirstFragment {
    pub(crate) seen_s: u64,
    pub(crate) packet: Packet,
    pub(crate) pass: bool,
}

impl FragmentKey {
    /// The key among those on which policy judged.
    pub(crate) fn of(packet: &Packet) -> FragmentKey {
        let protocol = (!packet.is_v6()).then_some(packet.protocol);
        FragmentKey { src: packet.src, dst: packet.dst, id: packet.fragment_id, protocol, place: None }
    }

    /// The key among those of sync flows.
    pub(crate) fn at(packet: &Packet, place: Hook) -> FragmentKey {
        FragmentKey { place: Some(place), ..FragmentKey::of(packet) }
    }
}

impl Bounded<FragmentKey, FirstFragment> {
    /// A first fragment that passed; one that was refused only takes back what was said of another one, so that a flood of them pushes
    /// out nothing.
    pub(crate) fn remember(&mut self, key: FragmentKey, first: FirstFragment) {
        if first.pass {
            return self.insert(key, first, |first| first.seen_s);
        }
        if let Some(before) = self.get_mut(&key) {
            (before.pass, before.seen_s) = (false, first.seen_s);
        }
    }

    /// A later fragment with what its first one said, or the reason to drop it.
    pub(crate) fn follow(
        &self,
        key: &FragmentKey,
        later: &Packet,
        timeouts: &Timeouts,
        now_s: u64,
    ) -> Result<Packet, Reason> {
        match self.get(key) {
            Some(first) if now_s.saturating_sub(first.seen_s) <= u64::from(timeouts.fragment_s) => {
                if later.fragment_start < first.packet.fragment_bytes {
                    Err(Reason::FragmentOverlap)
                } else if first.pass {
                    Ok(later.completed(&first.packet))
                } else {
                    Err(Reason::FragmentDenied)
                }
            }
            _ => Err(Reason::FragmentUnknown),
        }
    }
}
