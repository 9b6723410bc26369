//! SWIM itself: foca, fed with packets that have been looked through, its answers collected.

use std::{
    net::SocketAddr,
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use foca::{Foca, NoCustomBroadcast, PeriodicParams, State};
use identity::NodeId;
use rand::rngs::StdRng;
use tracing::debug;

use crate::{config::Config, datagram::SWIM_BYTES_MAX, incarnation::Identity};

mod packet;
mod wire;

pub(crate) use packet::{Packet, is_introduction};
use wire::Wire;

/// A timer of foca.
pub(crate) type Timer = foca::Timer<Identity>;

/// Who lives, as this node has heard.
pub(crate) struct Swim {
    foca: Foca<Identity, Wire, StdRng, NoCustomBroadcast>,
    outbox: Outbox,
}

/// What foca wants done.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) packets: Vec<(Identity, Vec<u8>)>,
    pub(crate) timers: Vec<(Duration, Timer)>,
}

impl foca::Runtime<Identity> for Outbox {
    /// Changes are found by comparing states, which cannot miss one: foca has no word for a suspicion.
    fn notify(&mut self, _: foca::Notification<'_, Identity>) {}

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.packets.push((to, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer, after: Duration) {
        self.timers.push((after, event));
    }
}

impl Swim {
    pub(crate) fn new(identity: Identity, config: &Config, rng: StdRng) -> Self {
        Self { foca: Foca::new(identity, parameters(config), rng, Wire), outbox: Outbox::default() }
    }

    /// This node's current life.
    pub(crate) fn identity(&self) -> Identity {
        *self.foca.identity()
    }

    /// All members but this node, those that are down as well.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Identity, State)> {
        self.foca.iter_membership_state().map(|member| (*member.id(), member.state()))
    }

    /// The members that are alive or only suspected.
    pub(crate) fn active(&self) -> impl Iterator<Item = (NodeId, SocketAddr)> {
        self.foca.iter_members().map(|member| (member.id().node, member.id().addr))
    }

    pub(crate) fn count(&self) -> usize {
        self.foca.iter_membership_state().len()
    }

    pub(crate) fn active_count(&self) -> usize {
        self.foca.num_members()
    }

    /// Takes what was to be done since the last time.
    pub(crate) fn take_outbox(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox)
    }

    pub(crate) fn receive(&mut self, packet: &[u8]) {
        let result = self.foca.handle_data(packet, &mut self.outbox);
        report("packet", result);
    }

    pub(crate) fn elapsed(&mut self, timer: Timer) {
        let result = self.foca.handle_timer(timer, &mut self.outbox);
        report("timer", result);
    }

    /// Asks a node for its list of members, which makes this node known to it.
    pub(crate) fn announce(&mut self, to: NodeId, addr: SocketAddr) {
        // Whatever life the node is in: an announcement is accepted by the node, not by the incarnation.
        let result = self.foca.announce(Identity::new(to, 0, addr), &mut self.outbox);
        report("announcement", result);
    }

    /// Tells some members now what is new.
    pub(crate) fn gossip(&mut self) {
        let result = self.foca.gossip(&mut self.outbox);
        report("gossip", result);
    }

    /// Declares a life over, on this node only: the others have their own source for it.
    pub(crate) fn put_down(&mut self, life: Identity) {
        let result = self.foca.apply_many(std::iter::once(foca::Member::down(life)), false, &mut self.outbox);
        report("end of a life", result);
    }

    /// Goes on in a life above `incarnation`, if this one is not above it.
    pub(crate) fn rise_above(&mut self, incarnation: u64) {
        let identity = self.identity();
        if incarnation >= identity.incarnation {
            let next = Identity::new(identity.node, incarnation.saturating_add(1), identity.addr);
            let result = self.foca.change_identity(next, &mut self.outbox);
            report("change of incarnation", result);
        }
    }
}

/// Foca's errors leave it able to go on; packets that could cause one have mostly been refused before.
fn report(what: &str, result: Result<(), foca::Error>) {
    if let Err(error) = result {
        debug!(%error, "SWIM could not finish with a {what}");
    }
}

fn parameters(config: &Config) -> foca::Config {
    let some = |number: usize| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
    let periodic = |frequency, members| Some(PeriodicParams { frequency, num_members: some(members) });
    foca::Config {
        probe_period: config.probe_interval,
        probe_rtt: config.probe_timeout.min(config.probe_interval.mul_f32(0.9)),
        num_indirect_probes: some(config.indirect_probes),
        max_transmissions: NonZeroU8::new(config.transmissions).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: config.suspect_for,
        // The ids of nodes are few and never reused, and `Remove` takes them away.
        remove_down_after: None,
        max_packet_size: some(SWIM_BYTES_MAX),
        notify_down_members: true,
        periodic_announce: periodic(config.exchange_interval, 1),
        // Foca stops all its periodic work when nobody is left (foca #15): the cluster looks for the lost ones itself.
        periodic_announce_to_down_members: None,
        periodic_gossip: periodic(config.gossip_interval, config.indirect_probes),
    }
}
