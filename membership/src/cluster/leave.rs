//! Leaving: said in the node's own record, so that it spreads like any other word and nobody mistakes it for a failure.

use identity::NodeId;
use rand::seq::IteratorRandom;

use super::{Cluster, Input, SocketAddr, Timer, TimerKind};

/// How often leaving is said after the first time.
const REPEATS: u32 = 2;

/// Time between two times of saying it.
const REPEAT_AFTER: std::time::Duration = std::time::Duration::from_millis(50);

/// Members that are told directly.
const TOLD_MAX: usize = 64;

/// What remains to be said.
pub(super) struct Leaving {
    peers: Vec<(NodeId, SocketAddr)>,
    repeats: u32,
}

impl Cluster {
    pub(super) fn leave(&mut self) {
        self.publish_as(true);
        let peers = self.swim.active().sample(&mut self.rng, TOLD_MAX);
        self.leaving = Some(Leaving { peers, repeats: REPEATS });
        self.say_leaving();
    }

    /// A node that has left only repeats that it has.
    pub(super) fn handle_leaving(&mut self, input: &Input) {
        match input {
            Input::Timer(Timer(TimerKind::LeaveAgain)) => self.say_leaving(),
            Input::Datagram { from, .. } => {
                if let Some(addr) = self.addr_of(*from) {
                    self.tell(&[self.me.node], &[(*from, addr)]);
                }
            }
            _ => {}
        }
    }

    fn say_leaving(&mut self) {
        let Some(leaving) = &mut self.leaving else { return };
        let (peers, again) = (leaving.peers.clone(), leaving.repeats > 0);
        leaving.repeats = leaving.repeats.saturating_sub(1);
        self.tell(&[self.me.node], &peers);
        if again {
            self.schedule(REPEAT_AFTER, TimerKind::LeaveAgain);
        }
    }
}
