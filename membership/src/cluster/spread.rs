//! Telling what is new, at a bounded pace: at once when it has been quiet, else when the pause is over.

use std::{collections::BTreeSet, net::SocketAddr};

use bytes::Bytes;
use identity::NodeId;
use rand::{RngExt, seq::IteratorRandom};

use super::{Cluster, Datagram, Meta, Record, Stamp};
use crate::{datagram::SUMMARY_STAMPS_MAX, event::TimerKind};

/// Up to so many members are told news directly by the one who has it; in larger clusters it is passed on.
const DIRECT_MAX: usize = 8;

/// How many members a node tells in a larger cluster.
const FANOUT: usize = 6;

/// What waits until the pause is over, and what was done since it began.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pausing: bool,
    meta_waits: bool,
    lazy_scheduled: bool,
    gossip_waits: bool,
    /// Nodes whose records are to be passed on.
    news: BTreeSet<NodeId>,
    /// Nodes that were sent a summary.
    pub(super) compared: BTreeSet<NodeId>,
    /// Nodes whose summary was answered, by whether it asked for ours.
    pub(super) answered: BTreeSet<(NodeId, bool)>,
}

impl Cluster {
    pub(super) fn set_meta(&mut self, meta: Meta) {
        let meta = meta.trimmed();
        let nearly_known = self.records.get(self.me.node).is_some_and(|record| record.meta.is_nearly(&meta));
        self.meta = meta;
        if !nearly_known && !self.pace.pausing {
            self.publish();
        } else if !nearly_known {
            self.pace.meta_waits = true;
        } else if self.is_meta_unpublished() && !self.pace.lazy_scheduled {
            self.pace.lazy_scheduled = true;
            self.schedule(self.config.meta_lazy_interval, TimerKind::Lazy);
        }
    }

    pub(super) fn lazy_elapsed(&mut self) {
        self.pace.lazy_scheduled = false;
        if self.is_meta_unpublished() {
            self.publish();
        }
    }

    /// Makes the current metadata this node's newest word, and tells it.
    pub(super) fn publish(&mut self) {
        self.publish_as(false);
        self.pace.meta_waits = false;
        let peers = self.peers();
        self.tell(&[self.me.node], &peers);
        if !peers.is_empty() {
            self.cool();
        }
    }

    /// The next version of this node's record.
    pub(super) fn publish_as(&mut self, left: bool) {
        self.version = self.version.saturating_add(1);
        let stamp = Stamp { incarnation: self.me.incarnation, version: self.version };
        self.records.merge(Record { node: self.me.node, stamp, left, meta: self.meta.clone() });
    }

    /// News that everybody should have soon, however large the cluster.
    pub(super) fn pass_on(&mut self, node: NodeId) {
        if self.pace.pausing {
            self.pace.news.insert(node);
        } else {
            let peers = self.peers();
            self.tell(&[node], &peers);
            self.cool();
        }
    }

    /// News that its origin tells everybody itself, unless there are too many.
    pub(super) fn pass_on_in_large(&mut self, node: NodeId) {
        if self.swim.active_count() > DIRECT_MAX {
            self.pass_on(node);
        }
    }

    /// Gossips about a change of membership.
    pub(super) fn gossip(&mut self) {
        if self.pace.pausing {
            self.pace.gossip_waits = true;
        } else {
            self.swim.gossip();
            self.cool();
        }
    }

    /// Begins a pause, if there is none.
    pub(super) fn cool(&mut self) {
        if !self.pace.pausing {
            self.pace.pausing = true;
            self.schedule(self.config.meta_interval, TimerKind::Cooled);
        }
    }

    pub(super) fn cooled(&mut self) {
        let pace = std::mem::take(&mut self.pace);
        self.pace.lazy_scheduled = pace.lazy_scheduled;
        if pace.meta_waits && self.is_meta_unpublished() {
            self.publish();
        }
        if !pace.news.is_empty() {
            let (news, peers): (Vec<_>, _) = (pace.news.into_iter().collect(), self.peers());
            self.tell(&news, &peers);
            self.cool();
        }
        if pace.gossip_waits {
            self.swim.gossip();
            self.cool();
        }
    }

    /// Sends the records of `nodes` to `peers`.
    pub(super) fn tell(&mut self, nodes: &[NodeId], peers: &[(NodeId, SocketAddr)]) {
        let packets: Vec<Bytes> = Datagram::pack(nodes.iter().filter_map(|node| self.records.get(*node)));
        for &(to, addr) in peers {
            for packet in &packets {
                self.send(to, addr, packet.clone());
            }
        }
    }

    /// Where a summary begins: at the start if everything fits, else anywhere.
    pub(super) fn summary_start(&mut self) -> u64 {
        let count = self.records.count();
        if count <= SUMMARY_STAMPS_MAX {
            return 0;
        }
        let anywhere = self.rng.random_range(0..count);
        self.records.nth(anywhere).map_or(0, |record| record.node.get())
    }

    fn peers(&mut self) -> Vec<(NodeId, SocketAddr)> {
        if self.swim.active_count() <= DIRECT_MAX {
            self.swim.active().collect()
        } else {
            self.swim.active().sample(&mut self.rng, FANOUT)
        }
    }

    fn is_meta_unpublished(&self) -> bool {
        self.records.get(self.me.node).is_none_or(|record| record.meta != self.meta)
    }
}
