//! What this node's data path does now: written by reconciling and inspecting, read by the API and told to the leader.

use std::{collections::BTreeMap, sync::Arc};

use dataplane::{Active, Hook, HookStatus};
use identity::NodeId;
use policy::Guard;
use tokio::sync::watch;
use tracing::warn;

use super::{
    compiled::Compiled,
    coordinator::{Preparation, Report, Target},
};

/// What can be wrong with a data path; each is raised and cleared by one kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Alarm {
    /// The guard is not what membership asks for.
    Guard,
    /// The committed revision is not live.
    Activation,
    /// The hooks cannot be looked at.
    Hooks,
    /// What the kernel holds is not what was activated (G5).
    Attestation,
}

/// What this node's data path does now, for the API and for the leader.
#[derive(Debug, Clone, Default)]
pub(crate) struct Enforcement {
    /// Whether this node has, since it started, known everything that the cluster had agreed on, and made its guard of it.
    pub(crate) current: bool,
    /// The generation that judges packets.
    pub(crate) active: Option<Active>,
    /// The revision and image that it holds.
    pub(crate) target: Option<Target>,
    /// The last preparation.
    pub(crate) preparation: Option<Preparation>,
    /// The policy of the active generation, for `explain`.
    pub(crate) compiled: Option<Arc<Compiled>>,
    /// The sync flows that are open now.
    pub(crate) guard: Arc<Guard>,
    /// The hooks as last seen.
    pub(crate) hooks: Vec<HookStatus>,
    /// Programs of another layout judge packets, and go on until the next activation: no program of this one is attached yet.
    pub(crate) others_judge: bool,
    /// How often each hook had to be attached again since the process started (G20).
    pub(crate) repaired: BTreeMap<Hook, u64>,
    /// Whether the data path is told to pass everything.
    pub(crate) disarmed: bool,
    /// What is wrong now, as sentences; empty when all is well.
    pub(crate) alarms: BTreeMap<Alarm, String>,
}

impl Enforcement {
    /// The report that the leader collects.
    #[must_use]
    pub(crate) fn report(&self, node: NodeId) -> Report {
        Report { node, preparation: self.preparation.clone(), active: self.target }
    }
}

/// Where reconciling and inspecting, each a task of its own, write what they find.
#[derive(Debug, Clone)]
pub(crate) struct Panel(watch::Sender<Enforcement>);

impl Panel {
    /// An empty panel, and where it can be watched.
    #[must_use]
    pub(crate) fn new() -> (Self, watch::Receiver<Enforcement>) {
        let (panel, watched) = watch::channel(Enforcement::default());
        (Self(panel), watched)
    }

    /// What is on it.
    #[must_use]
    pub(crate) fn read(&self) -> watch::Ref<'_, Enforcement> {
        self.0.borrow()
    }

    /// Changes it, and wakes those who watch.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Enforcement)) {
        self.0.send_modify(change);
    }

    /// Changes it, and wakes those who watch if `change` says that something is different now.
    pub(crate) fn change_if(&self, change: impl FnOnce(&mut Enforcement) -> bool) -> bool {
        self.0.send_if_modified(change)
    }

    /// Takes an alarm back.
    pub(crate) fn clear(&self, alarm: Alarm) {
        self.change_if(|enforcement| enforcement.alarms.remove(&alarm).is_some());
    }

    /// Raises an alarm; a sentence that stands already is not logged again.
    pub(crate) fn alarm(&self, alarm: Alarm, sentence: &str) {
        let raise = |enforcement: &mut Enforcement| {
            enforcement.alarms.insert(alarm, sentence.to_owned()).as_deref() != Some(sentence)
        };
        if self.change_if(raise) {
            warn!("{sentence}");
        }
    }
}
