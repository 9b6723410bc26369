//! What the node says about itself; asks nobody.

use dataplane::HookState;
use identity::Role;
use policy::{
    Channel,
    channel::{Ends, HEDGEROW, PortSpan, Wire},
    model::protocol,
};

use crate::{
    agent::{
        enforcement::Enforcement,
        life::{Life, Stage},
        mesh::Mesh,
    },
    config::DataplaneMode,
    view,
};

pub(super) fn status(life: &Life) -> view::Status {
    let mesh = life.mesh();
    let enforcement = mesh.as_ref().map(|mesh| mesh.enforcement.borrow().clone()).unwrap_or_default();
    let raft = mesh.as_ref().map(|mesh| raft(mesh));
    let policy = mesh.as_ref().map_or_else(no_policy, |mesh| policy(mesh));
    let waiting_for = waiting_for(life, raft.as_ref(), &policy, &enforcement);
    view::Status {
        name: life.site.config.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        phase: phase(&life.stage()),
        ready: waiting_for.is_empty(),
        node: mesh.as_ref().map(|mesh| mesh.me()),
        cluster: mesh.as_ref().map(|mesh| mesh.name.cluster),
        uptime_ms: u64::try_from(life.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        members: mesh.as_ref().map(|mesh| member_counts(mesh)).unwrap_or_default(),
        alarms: alarms(life, raft.as_ref(), &policy, &enforcement),
        enforcement: enforcement_view(life, &enforcement),
        waiting_for,
        raft,
        policy,
    }
}

fn phase(stage: &Stage) -> view::Phase {
    match stage {
        Stage::Alone => view::Phase::Alone,
        Stage::Forming(_) => view::Phase::Forming,
        Stage::Joining => view::Phase::Joining,
        Stage::Running(_) => view::Phase::Running,
        Stage::Left(_) => view::Phase::Leaving,
    }
}

pub(super) fn raft(mesh: &Mesh) -> view::Raft {
    let metrics = mesh.raft.metrics();
    view::Raft {
        role: match metrics.state {
            raft::RaftState::Leader => view::RaftRole::Leader,
            raft::RaftState::Follower => view::RaftRole::Follower,
            raft::RaftState::Candidate => view::RaftRole::Candidate,
            raft::RaftState::Learner => view::RaftRole::Learner,
            raft::RaftState::Stopped => view::RaftRole::Shutdown,
        },
        term: metrics.term,
        leader: metrics.leader,
        last_log: metrics.last_log.unwrap_or(0),
        committed: metrics.committed.unwrap_or(0),
        applied: metrics.applied.unwrap_or(0),
        quorum: metrics.leader.is_some(),
        voters: metrics.voters.into_iter().collect(),
        learners: metrics.learners.into_iter().collect(),
    }
}

fn no_policy() -> view::PolicyState {
    view::PolicyState { revision: 0, digest: None, active_revision: 0, epoch: 0, rejected: None }
}

fn policy(mesh: &Mesh) -> view::PolicyState {
    let (state, _) = mesh.raft.local();
    let active = state.active.as_ref();
    let active_revision = active.map_or(0, |epoch| epoch.revision);
    let rejected = state.aborted.as_ref().filter(|aborted| aborted.revision > active_revision);
    view::PolicyState {
        revision: state.revision(),
        digest: state.revisions.back().map(|revision| revision.digest),
        active_revision,
        epoch: active.map_or(0, |epoch| epoch.epoch),
        rejected: rejected.map(|aborted| view::Rejected { revision: aborted.revision, reason: aborted.reason.clone() }),
    }
}

/// Every reason for which the node is not yet what it should be.
fn waiting_for(
    life: &Life,
    raft: Option<&view::Raft>,
    policy: &view::PolicyState,
    enforcement: &Enforcement,
) -> Vec<String> {
    let Some(raft) = raft else {
        return vec![match life.stage() {
            Stage::Forming(waits) => waits,
            Stage::Joining => "a member to admit this node".to_owned(),
            Stage::Left(_) => "nothing: this node has left".to_owned(),
            Stage::Alone | Stage::Running(_) => "`hedgerow cluster init` or `hedgerow cluster join TOKEN`".to_owned(),
        }];
    };
    let mut reasons = Vec::new();
    if raft.leader.is_none() {
        reasons.push("a leader: no quorum is within reach; the last policy stays enforced".to_owned());
        let refusals = life.mesh().map(|mesh| mesh.refusals.all()).unwrap_or_default();
        reasons.extend(refusals.iter().map(|(node, reason)| format!("{node}, which refuses this node: {reason}")));
    }
    if !enforcement.current {
        reasons.push("the log of the cluster".to_owned());
    }
    let enforced = enforcement.target.map_or(0, |target| target.revision);
    if enforced < policy.active_revision {
        reasons.push(format!("its data path to go from revision {enforced} to {}", policy.active_revision));
    }
    reasons
}

fn alarms(
    life: &Life,
    raft: Option<&view::Raft>,
    policy: &view::PolicyState,
    enforcement: &Enforcement,
) -> Vec<view::Alarm> {
    let alarm = |name: &str, message: String| view::Alarm { name: name.to_owned(), message };
    let mut alarms: Vec<_> = enforcement.alarms.values().map(|message| alarm("data_path", message.clone())).collect();
    if raft.is_some_and(|raft| !raft.quorum) {
        alarms.push(alarm(
            "no_quorum",
            "no leader: writes are refused, the last committed policy stays enforced".to_owned(),
        ));
    }
    if let Some(order) = life.disarmed() {
        alarms.push(alarm(
            "disarmed",
            format!("this node passes everything, by order of {}: {}", order.actor, order.reason),
        ));
    }
    if enforcement.others_judge {
        alarms.push(alarm(
            "others_judge",
            "programs of another version judge packets, with the policy that they had, until the next activation: it comes by itself \
             once the cluster has an active revision and this node knows its state"
                .to_owned(),
        ));
    }
    if let Some(rejected) = &policy.rejected {
        alarms.push(alarm("rejected", format!("revision {} was given up: {}", rejected.revision, rejected.reason)));
    }
    for channel in unplaced(life, enforcement) {
        alarms.push(alarm(
            "channel_unplaced",
            format!(
                "the channel `{channel}` keeps nothing open on this node: its protocol exists in no family of the addresses that the node \
                 has on the interfaces of its role; correct its declaration, or the addresses"
            ),
        ));
    }
    for hook in &enforcement.hooks {
        if let HookState::Missing { because } = &hook.state {
            let message = format!("{} {} is not judged, or not first: {because}", hook.interface, hook.hook.direction);
            alarms.push(alarm("hook_detached", message));
        }
    }
    alarms
}

/// Channels for which the node has an interface and that keep nothing open there. Without an interface of its role a node takes no
/// part in a channel.
fn unplaced<'a>(life: &Life, enforcement: &'a Enforcement) -> Vec<&'a String> {
    let documents = enforcement.compiled.as_ref().map_or(&[][..], |compiled| &compiled.model.channels);
    let takes_part = |name: &&String| {
        let named = life.site.config.channels.iter().chain(documents).filter(|channel| channel.name == **name);
        let has_interface: Vec<_> = named.map(|channel| !interfaces_of(life, channel).is_empty()).collect();
        // Declared for two roles, the name does not tell which of them is meant.
        !has_interface.is_empty() && has_interface.iter().all(|has| *has)
    };
    enforcement.guard.unplaced.iter().filter(takes_part).collect()
}

pub(super) fn member_counts(mesh: &Mesh) -> view::MemberCounts {
    let mut counts = view::MemberCounts::default();
    for member in super::cluster::members(mesh).members {
        counts.total += 1;
        match member.state {
            view::MemberState::Alive => counts.alive += 1,
            view::MemberState::Suspect => counts.suspect += 1,
            view::MemberState::Down | view::MemberState::Left | view::MemberState::Unknown => counts.down += 1,
        }
    }
    counts
}

fn enforcement_view(life: &Life, enforcement: &Enforcement) -> view::Enforcement {
    let hook = |hook: &dataplane::HookStatus| view::Hook {
        interface: hook.interface.clone(),
        role: role_of(life, hook.hook.ifindex),
        hook: format!("{} {}", hook.attachment, hook.hook.direction),
        attached: hook.state.attached(),
        repaired: enforcement.repaired.get(&hook.hook).copied().unwrap_or(0),
    };
    view::Enforcement {
        mode: match life.site.config.dataplane.mode {
            DataplaneMode::Kernel => view::EnforcementMode::Kernel,
            DataplaneMode::Userspace => view::EnforcementMode::Userspace,
            DataplaneMode::Off => view::EnforcementMode::Off,
        },
        attested: enforcement.active.map(|active| view::Attested {
            revision: active.revision,
            generation: active.generation,
            digest: active.digest,
        }),
        guard_entries: enforcement.guard.entries.len() as u64,
        hooks: enforcement.hooks.iter().map(hook).collect(),
        others_judge: enforcement.others_judge,
        disarmed: life.disarmed(),
    }
}

pub(super) fn channels(life: &Life) -> view::Channels {
    let site = &life.site;
    let mesh = life.mesh();
    let documents = mesh.as_ref().and_then(|mesh| mesh.enforcement.borrow().compiled.clone());
    let from_documents = documents.iter().flat_map(|compiled| &compiled.model.channels);
    let from_documents = from_documents.map(|channel| (channel, view::ChannelOrigin::Document));
    let built_in = own_channel(site.listen().port());
    let declared = site.config.channels.iter().map(|channel| (channel, view::ChannelOrigin::Config));
    let all = std::iter::once((&built_in, view::ChannelOrigin::BuiltIn)).chain(declared).chain(from_documents);
    let one = |(channel, origin): (&Channel, view::ChannelOrigin)| view::Channel {
        name: channel.name.clone(),
        role: channel.interface,
        interfaces: interfaces_of(life, channel),
        wire: wires(channel),
        origin,
        guard_entries: mesh.as_ref().map_or(0, |mesh| entries(life, mesh, channel)),
    };
    let mut channels: Vec<_> = all.map(one).collect();
    channels.sort_by(|one, other| one.name.cmp(&other.name));
    view::Channels { channels, link_entries: link_kinds() * site.interfaces.len() as u64 }
}

/// The channel of the cluster itself, which no declaration brings and none takes away.
fn own_channel(port: u16) -> Channel {
    let ends = Ends::Members { groups: Vec::new(), unicast: true };
    let wire = Wire { protocol: protocol::UDP, ports: Some(PortSpan::one(port)), ttl: None, ends };
    Channel { name: HEDGEROW.to_owned(), interface: Role::Cluster, wires: vec![wire] }
}

fn interfaces_of(life: &Life, channel: &Channel) -> Vec<String> {
    let of_role = life.site.interfaces.iter().filter(|interface| interface.role == channel.interface);
    of_role.map(|interface| interface.name.clone()).collect()
}

/// The kinds of packet that are link support on one interface: IGMP, neighbour discovery, multicast listener discovery.
fn link_kinds() -> u64 {
    1 + (policy::guard::LINK_ICMPV6_NEIGHBOUR.len() + policy::guard::LINK_ICMPV6_MLD.len()) as u64
}

fn role_of(life: &Life, ifindex: u32) -> Role {
    let found = life.site.interfaces.iter().find(|interface| interface.ifindex == ifindex);
    found.map_or(Role::Cluster, |interface| interface.role)
}

/// What the channel looks like on the wire, such as `udp/7400` or `protocol 112 to 224.0.0.18`.
fn wires(channel: &Channel) -> String {
    let one = |wire: &Wire| {
        let name = view::FlowService { protocol: wire.protocol, port: 0 }.to_string();
        let name =
            name.split_once('/').filter(|_| wire.ports.is_some()).map_or(name.clone(), |(name, _)| name.to_owned());
        let ports = match wire.ports {
            Some(span) if span.count > 1 => format!("/{}-{}", span.first, span.first.saturating_add(span.count - 1)),
            Some(span) => format!("/{}", span.first),
            None => String::new(),
        };
        let to = match &wire.ends {
            Ends::Members { groups, .. } if !groups.is_empty() => format!(" to {}", list(groups)),
            Ends::Members { .. } => String::new(),
            Ends::From(sources) => format!(" from {}", list(sources)),
        };
        format!("{name}{ports}{to}")
    };
    channel.wires.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn list(addresses: &[std::net::IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How many guard entries this one channel has on this node.
fn entries(life: &Life, mesh: &Mesh, channel: &Channel) -> u64 {
    let (state, _) = mesh.raft.local();
    let members: Vec<_> = state.members.values().cloned().collect();
    let port = life.site.listen().port();
    let count = |channels: &[Channel]| {
        let guard = policy::guard(mesh.me(), &life.site.interfaces, channels, &members, port);
        guard.map_or(0, |guard| guard.entries.len() as u64)
    };
    let built_in = count(&[]);
    if channel.name == HEDGEROW { built_in } else { count(std::slice::from_ref(channel)) - built_in }
}
