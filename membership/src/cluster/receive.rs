//! Datagrams that arrive: looked through as a whole first, so that a bad one changes nothing.

use std::collections::BTreeSet;

use bytes::Bytes;
use identity::NodeId;
use tracing::{debug, warn};

use super::{Cluster, Datagram, MEMBERS_MAX, Record};
use crate::{
    datagram::SUMMARY_STAMPS_MAX,
    records::{Merged, Summary},
    swim::Packet,
};

/// Datagrams of records that one summary is answered with.
const ANSWERS_MAX: usize = 8;

impl Cluster {
    pub(super) fn receive(&mut self, from: NodeId, bytes: &Bytes) {
        if from == self.me.node || self.removed.contains(&from) {
            return;
        }
        match Datagram::decode(bytes) {
            Ok(Datagram::Swim { view, record, packet }) => self.receive_swim(from, view, record, &packet),
            Ok(Datagram::Records(records)) => records.into_iter().for_each(|record| self.receive_record(record)),
            Ok(Datagram::Summary(summary)) => self.receive_summary(from, &summary),
            Err(error) => debug!(%from, %error, "datagram refused"),
        }
    }

    fn receive_swim(&mut self, from: NodeId, view: u32, record: Option<Record>, bytes: &[u8]) {
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => return debug!(%from, %error, "datagram refused"),
        };
        let (src, dst) = (packet.header.src, packet.header.dst);
        if src.node != from || dst.node != self.me.node {
            return warn!(%from, claims = %src.node, to = %dst.node, "gossip in another node's name refused");
        }
        if self.would_overflow(&packet) {
            return warn!(%from, "gossip about more than {MEMBERS_MAX} nodes refused");
        }
        if let Some(record) = record {
            self.receive_record(record);
        }
        // Somebody remembers a later life of this node than it does itself: its disk was lost or set back.
        if let Some(later) = packet.lives().filter(|life| life.node == self.me.node).map(|life| life.incarnation).max()
            && later > self.me.incarnation
        {
            self.swim.rise_above(later);
        }
        self.swim.receive(bytes);
        if view != self.records.view() && self.pace.compared.insert(from) {
            self.cool();
            let first = self.summary_start();
            let summary = self.records.summary(first, u64::MAX, true, SUMMARY_STAMPS_MAX);
            self.send(from, src.addr, Datagram::Summary(summary).encode());
        }
    }

    /// Whether a packet names more nodes than there may be.
    fn would_overflow(&self, packet: &Packet) -> bool {
        if self.swim.count() + packet.lives().count() <= MEMBERS_MAX {
            return false; // Even if all of them were new.
        }
        let known: BTreeSet<_> = self.swim.members().map(|(life, _)| life.node).collect();
        let named: BTreeSet<_> = packet.lives().map(|life| life.node).collect();
        known.len() + named.difference(&known).count() > MEMBERS_MAX
    }

    fn receive_record(&mut self, record: Record) {
        let Record { node, stamp, left, .. } = record;
        if node == self.me.node {
            // Our own word from a life, or a version, that we do not remember: begin a new one.
            if self.records.stamp(node) < Some(stamp) {
                self.swim.rise_above(stamp.incarnation);
            }
            return;
        }
        let known = self.records.get(node).is_some();
        if self.removed.contains(&node) || (!known && self.records.count() >= MEMBERS_MAX) {
            return;
        }
        match self.records.merge(record) {
            Merged::Old => {}
            Merged::Life => self.pass_on(node),
            Merged::Version if left => self.pass_on(node),
            Merged::Version => self.pass_on_in_large(node),
        }
    }

    fn receive_summary(&mut self, from: NodeId, summary: &Summary) {
        let Some(addr) = self.addr_of(from) else { return };
        if !self.pace.answered.insert((from, summary.answer)) {
            return;
        }
        self.cool();
        for packet in Datagram::pack(self.records.newer_than(summary)).into_iter().take(ANSWERS_MAX) {
            self.send(from, addr, packet);
        }
        let own = summary.stamps.iter().find(|(node, _)| *node == self.me.node).map(|(_, stamp)| *stamp);
        if let Some(stamp) = own
            && self.records.stamp(self.me.node) < Some(stamp)
        {
            self.swim.rise_above(stamp.incarnation);
        }
        let lacking =
            |(node, stamp): &(NodeId, _)| !self.removed.contains(node) && self.records.stamp(*node) < Some(*stamp);
        if summary.answer && summary.stamps.iter().any(lacking) {
            let ours = self.records.summary(summary.first, summary.last, false, SUMMARY_STAMPS_MAX);
            self.send(from, addr, Datagram::Summary(ours).encode());
        }
    }
}
