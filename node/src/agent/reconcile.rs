//! Makes this node's data path what the cluster has agreed on, and keeps it so.
//!
//! The data path is a function of the current state, never of how it came about: each round looks at the newest state
//! only. A round (1) gives the guard its entries, (2) activates the committed epoch, (3) prepares the newest revision.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use dataplane::{Active, Enforcer, Hook, HookState, HookStatus};
use futures_util::FutureExt;
use identity::NodeId;
use policy::{Guard, Obligation};
use raft::{Raft, State};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    channels::DocumentChannels,
    compiled::{self, Compiled},
    coordinator::{Preparation, Report, Target},
    enforce::EnforcerGone,
    site::SharedSite,
};

/// How often the hooks are looked at (G20: a foreign detach is repaired within a second).
const HOOKS_CHECK_EVERY: Duration = Duration::from_millis(500);

/// How often the tables that packets read are read back and compared with what was activated.
const ATTEST_EVERY: Duration = Duration::from_secs(10);

/// How long one try to learn the current state of the cluster takes.
const CURRENT_WITHIN: Duration = Duration::from_secs(2);

/// How long guard entries of departed members stay, so that no packet of the old membership is cut on its way (G0, G12).
const GUARD_GRACE: Duration = Duration::from_secs(2);

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

/// The reconcile loop of one node.
pub(crate) struct Reconciler {
    me: NodeId,
    site: SharedSite,
    status: watch::Sender<Enforcement>,
    prepared: Option<(dataplane::Prepared, Arc<Compiled>)>,
    /// Whether what was live when the process started has been looked at.
    adopted: bool,
    departing: Option<(Instant, Guard)>,
    document_channels: DocumentChannels,
    attested_at: Instant,
}

impl Reconciler {
    /// A loop that has done nothing yet, and where its results can be watched.
    #[must_use]
    pub(crate) fn new(me: NodeId, site: SharedSite) -> (Self, watch::Receiver<Enforcement>) {
        let (status, watched) = watch::channel(Enforcement::default());
        (
            Self {
                me,
                site,
                status,
                prepared: None,
                adopted: false,
                departing: None,
                document_channels: DocumentChannels::default(),
                attested_at: Instant::now(),
            },
            watched,
        )
    }

    /// Runs until `stop`, or until the data path's thread is gone.
    ///
    /// # Errors
    /// The data path's thread is gone.
    pub(crate) async fn run(mut self, raft: Raft, stop: CancellationToken) -> Result<(), EnforcerGone> {
        let mut states = raft.watch();
        let mut check = tokio::time::interval(HOOKS_CHECK_EVERY);
        let (mut may_change, mut is_current) = (!self.take_over().await?, false);
        let current = pin!(wait_until_current(&raft));
        let mut current = current.fuse();
        loop {
            tokio::select! {
                changed = states.changed() => if changed.is_err() { return Ok(()) },
                _ = check.tick() => {
                    self.check_hooks().await?;
                    self.attest().await?;
                }
                () = &mut current => (may_change, is_current) = (true, true),
                () = stop.cancelled() => return Ok(()),
            }
            let state = states.borrow_and_update().clone();
            if may_change {
                self.round(&state).await?;
            }
            self.status.send_if_modified(|status| std::mem::replace(&mut status.current, is_current) != is_current);
        }
    }

    /// Notes what the kernel enforces since before this process started; whether it enforces anything.
    ///
    /// If so, it is left alone until this node knows the current state of the cluster: a state from before the newest
    /// members were admitted would cut their sync flows (G0).
    async fn take_over(&mut self) -> Result<bool, EnforcerGone> {
        let (active, enforces) = self.site.enforcer.run(|enforcer| (enforcer.active(), enforcer.enforces())).await?;
        self.status.send_modify(|status| status.active = active);
        Ok(enforces)
    }

    async fn round(&mut self, state: &Arc<State>) -> Result<(), EnforcerGone> {
        self.follow_members(state).await?;
        self.follow_active(state).await?;
        self.follow_latest(state).await?;
        // What was just prepared may be what the cluster has already made live without this node.
        self.follow_active(state).await
    }

    // --- (1) members -------------------------------------------------------------------------------------------

    async fn follow_members(&mut self, state: &Arc<State>) -> Result<(), EnforcerGone> {
        if state.members.is_empty() {
            // The log has not arrived yet; an empty guard would cut the flows of those who are members.
            return Ok(());
        }
        let wanted = match self.wanted_guard(state) {
            Ok(wanted) => wanted,
            Err(error) => {
                self.alarm(Alarm::Guard, &format!("the guard cannot be built, the last one stays: {error}"));
                return Ok(());
            }
        };
        self.follow_guard(wanted).await
    }

    fn wanted_guard(&mut self, state: &State) -> Result<Guard, policy::GuardError> {
        let members: Vec<_> = state.members.values().cloned().collect();
        let mut all = self.site.config.channels.clone();
        all.extend_from_slice(self.document_channels.of(state));
        policy::guard(self.me, &self.site.interfaces, &all, &members, self.site.listen().port())
    }

    /// Add before remove: the union of old and new first, the new alone after a grace time.
    async fn follow_guard(&mut self, wanted: Guard) -> Result<(), EnforcerGone> {
        let now = Instant::now();
        let current = self.status.borrow().guard.clone();
        let pending = self.departing.as_ref().map(|(_, guard)| guard);
        if pending.unwrap_or(&current) != &wanted {
            let union = match current.union(&wanted) {
                Ok(union) => union,
                Err(error) => {
                    self.alarm(
                        Alarm::Guard,
                        &format!("the guard is not changed, old and new do not fit together: {error}"),
                    );
                    return Ok(());
                }
            };
            self.departing = (union != wanted).then(|| (now + GUARD_GRACE, wanted));
            return self.set_guard(union).await;
        }
        match self.departing.take_if(|(due, _)| *due <= now) {
            Some((_, guard)) => self.set_guard(guard).await,
            None => Ok(()),
        }
    }

    async fn set_guard(&mut self, guard: Guard) -> Result<(), EnforcerGone> {
        let entries = guard.entries.len();
        let shared = Arc::new(guard);
        let given = shared.clone();
        match self.site.enforcer.run(move |enforcer| enforcer.set_guard(&given)).await? {
            Ok(()) => {
                info!(entries, "guard set");
                self.status.send_modify(|status| {
                    status.guard = shared;
                    status.alarms.remove(&Alarm::Guard);
                });
            }
            Err(error) => self.alarm(Alarm::Guard, &format!("the guard was not changed: {error}")),
        }
        Ok(())
    }

    // --- (2) the committed epoch ---------------------------------------------------------------------------------

    async fn follow_active(&mut self, state: &Arc<State>) -> Result<(), EnforcerGone> {
        let Some(epoch) = &state.active else { return Ok(()) };
        let committed = Target { revision: epoch.revision, image: epoch.image };
        if self.status.borrow().target == Some(committed) {
            return Ok(());
        }
        if !std::mem::replace(&mut self.adopted, true) && self.adopt(state, committed.revision).await? {
            return Ok(());
        }
        if self.prepared.as_ref().is_none_or(|(_, compiled)| compiled.target != committed) {
            // A node that was away, or slow: it comes to the committed revision by itself. When members have changed
            // since that epoch its image differs, and the leader brings the next epoch with the new image.
            if self.status.borrow().target.is_some_and(|target| target.revision == committed.revision) {
                return Ok(());
            }
            self.prepare(state, committed.revision).await?;
        }
        match self.prepared.take_if(|(_, compiled)| compiled.target.revision == committed.revision) {
            Some((prepared, compiled)) => self.activate(prepared, compiled).await,
            None => Ok(()),
        }
    }

    /// Goes on with what the kernel enforced all the time that the process was away (G13), if it is `revision`.
    async fn adopt(&mut self, state: &Arc<State>, revision: u64) -> Result<bool, EnforcerGone> {
        let Some(active) = self.site.enforcer.run(|enforcer| enforcer.active()).await? else { return Ok(false) };
        let shared = state.clone();
        let compiling = tokio::task::spawn_blocking(move || compiled::compile(&shared, revision)).await;
        let Ok(compiled) = compiling.map_err(|_| EnforcerGone)? else { return Ok(false) };
        let live = Target { revision: active.revision, image: active.digest };
        if live != compiled.target {
            return Ok(false);
        }
        info!(revision, generation = active.generation, image = %live.image.short(), "adopted what the kernel enforces");
        self.enforces(active, Arc::new(compiled));
        Ok(true)
    }

    fn enforces(&self, active: Active, compiled: Arc<Compiled>) {
        self.status.send_modify(|status| {
            status.active = Some(active);
            status.target = Some(compiled.target);
            status.compiled = Some(compiled);
            status.alarms.remove(&Alarm::Activation);
            status.alarms.remove(&Alarm::Attestation);
        });
    }

    async fn activate(&mut self, prepared: dataplane::Prepared, compiled: Arc<Compiled>) -> Result<(), EnforcerGone> {
        let target = compiled.target;
        match self.site.enforcer.run(move |enforcer| enforcer.activate(prepared)).await? {
            Ok(active) => {
                info!(revision = target.revision, generation = active.generation, image = %target.image.short(), "active");
                self.enforces(active, compiled);
            }
            Err(error) => {
                self.alarm(Alarm::Activation, &format!("revision {} was not activated: {error}", target.revision));
            }
        }
        Ok(())
    }

    // --- (3) the newest revision ---------------------------------------------------------------------------------

    async fn follow_latest(&mut self, state: &Arc<State>) -> Result<(), EnforcerGone> {
        let revision = compiled::wanted_revision(state);
        if revision == 0 {
            return Ok(());
        }
        let members = compiled::routable_addresses(state);
        let fresh = |compiled: &Compiled| compiled.target.revision == revision && compiled.members == members;
        let failed = matches!(&self.status.borrow().preparation,
            Some(Preparation::Failed { revision: failed, .. }) if *failed == revision);
        let live = self.status.borrow().compiled.as_deref().is_some_and(fresh);
        if failed || live || self.prepared.as_ref().is_some_and(|(_, compiled)| fresh(compiled)) {
            return Ok(());
        }
        self.prepare(state, revision).await
    }

    async fn prepare(&mut self, state: &Arc<State>, revision: u64) -> Result<(), EnforcerGone> {
        let started = Instant::now();
        self.prepared = None;
        let shared = state.clone();
        let compiling = tokio::task::spawn_blocking(move || compiled::compile(&shared, revision)).await;
        let preparation = match compiling.map_err(|_| EnforcerGone)? {
            Ok(compiled) => self.load(Arc::new(compiled)).await?,
            Err(error) => Preparation::Failed { revision, reason: error.to_string() },
        };
        match &preparation {
            Preparation::Ready(target) => {
                info!(revision, image = %target.image.short(), ms = started.elapsed().as_millis(), "prepared and proven");
            }
            Preparation::Failed { reason, .. } => error!(revision, reason, "not prepared; the live revision stays"),
        }
        self.status.send_modify(|status| status.preparation = Some(preparation));
        Ok(())
    }

    async fn load(&mut self, compiled: Arc<Compiled>) -> Result<Preparation, EnforcerGone> {
        let revision = compiled.target.revision;
        let obligations = self.obligations();
        let given = compiled.clone();
        let loaded =
            self.site.enforcer.run(move |enforcer| enforcer.prepare(revision, &given.image, &obligations)).await?;
        Ok(match loaded {
            Ok(prepared) => {
                let target = compiled.target;
                self.prepared = Some((prepared, compiled));
                Preparation::Ready(target)
            }
            Err(error) => Preparation::Failed { revision, reason: error.to_string() },
        })
    }

    fn obligations(&self) -> Vec<Obligation> {
        policy::obligations(&self.status.borrow().guard, &self.site.interfaces)
    }

    // --- watching ------------------------------------------------------------------------------------------------

    async fn check_hooks(&mut self) -> Result<(), EnforcerGone> {
        let look = |enforcer: &mut dyn Enforcer| (enforcer.check_hooks(), enforcer.disarmed());
        let (hooks, disarmed) = self.site.enforcer.run(look).await?;
        self.status.send_if_modified(|status| std::mem::replace(&mut status.disarmed, disarmed) != disarmed);
        match hooks {
            Ok(hooks) => self.status.send_if_modified(|status| {
                let changed = status.hooks != hooks || status.alarms.remove(&Alarm::Hooks).is_some();
                for hook in hooks.iter().filter(|hook| hook.state == HookState::Repaired) {
                    warn!(interface = hook.interface, hook = %hook.hook, "someone had detached our program, put another before it or removed its pins; put right");
                    *status.repaired.entry(hook.hook).or_default() += 1;
                }
                status.hooks = hooks;
                changed
            }),
            Err(error) => {
                self.alarm(Alarm::Hooks, &format!("the hooks cannot be checked: {error}"));
                false
            }
        };
        Ok(())
    }

    /// Reads back what packets meet and compares it with what was activated (G5), every [`ATTEST_EVERY`].
    async fn attest(&mut self) -> Result<(), EnforcerGone> {
        if self.attested_at.elapsed() < ATTEST_EVERY {
            return Ok(());
        }
        self.attested_at = Instant::now();
        match self.site.enforcer.run(|enforcer| enforcer.attest()).await? {
            Ok(attestation) if attestation.active.map(|active| active.digest) == attestation.digest => {
                self.clear(Alarm::Attestation);
            }
            Ok(attestation) => {
                let read = attestation.digest.map_or_else(|| "nothing".to_owned(), |digest| digest.short());
                self.alarm(
                    Alarm::Attestation,
                    &format!("the tables of the data path read as {read}, not as what was activated"),
                );
            }
            Err(error) => self.alarm(Alarm::Attestation, &format!("the data path cannot be read back: {error}")),
        }
        Ok(())
    }

    fn clear(&self, alarm: Alarm) {
        self.status.send_if_modified(|status| status.alarms.remove(&alarm).is_some());
    }

    fn alarm(&self, alarm: Alarm, sentence: &str) {
        let new = self
            .status
            .send_if_modified(|status| status.alarms.insert(alarm, sentence.to_owned()).as_deref() != Some(sentence));
        if new {
            warn!("{sentence}");
        }
    }
}

/// Returns once there is a cluster, and the state of this node includes everything that was acknowledged before.
async fn wait_until_current(raft: &Raft) {
    // A founder leads, and could confirm a read, before the first entry of its cluster is written.
    let _ = raft.watch().wait_for(|state| state.is_founded()).await;
    while raft.read(CURRENT_WITHIN).await.is_err() {
        tokio::task::yield_now().await;
    }
}
