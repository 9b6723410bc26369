//! Makes this node's data path what the cluster has agreed on, and keeps it so.
//!
//! The data path is a function of the current state, never of how it came about: each round looks at the newest state
//! only. A round (1) gives the guard its entries, (2) activates the committed epoch, (3) prepares the newest revision.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use dataplane::Active;
use futures_util::FutureExt;
use identity::NodeId;
use policy::{Guard, Obligation};
use raft::{Raft, State};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    channels::DocumentChannels,
    compiled::{self, Compiled},
    coordinator::{Preparation, Target},
    enforce::EnforcerGone,
    enforcement::{Alarm, Enforcement, Panel},
    inspect::Inspector,
    prepare::prepare,
    site::SharedSite,
};

/// How often a round is made although the log has brought nothing new: guard entries run out, and what failed is tried again.
const ROUND_EVERY: Duration = Duration::from_millis(500);

/// How long one try to learn the current state of the cluster takes.
const CURRENT_WITHIN: Duration = Duration::from_secs(2);

/// How long guard entries of departed members stay, so that no packet of the old membership is cut on its way (G0, G12).
const GUARD_GRACE: Duration = Duration::from_secs(2);

/// How long a revision that is live in the cluster and could not be prepared here is left before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The reconcile loop of one node.
pub(crate) struct Reconciler {
    me: NodeId,
    site: SharedSite,
    panel: Panel,
    prepared: Option<(dataplane::Prepared, Arc<Compiled>)>,
    /// Whether what was live when the process started has been looked at.
    adopted: bool,
    /// When a committed revision could not be prepared, and which.
    failed: Option<(Instant, u64)>,
    departing: Option<(Instant, Guard)>,
    document_channels: DocumentChannels,
}

impl Reconciler {
    /// A loop that has done nothing yet, and where its results can be watched.
    #[must_use]
    pub(crate) fn new(me: NodeId, site: SharedSite) -> (Self, watch::Receiver<Enforcement>) {
        let (panel, watched) = Panel::new();
        (
            Self {
                me,
                site,
                panel,
                prepared: None,
                adopted: false,
                failed: None,
                departing: None,
                document_channels: DocumentChannels::default(),
            },
            watched,
        )
    }

    /// Who looks after the data path beside this loop.
    #[must_use]
    pub(crate) fn inspector(&self) -> Inspector {
        Inspector::new(self.site.enforcer.clone(), self.panel.clone())
    }

    /// Runs until `stop`, or until the data path's thread is gone.
    ///
    /// # Errors
    /// The data path's thread is gone.
    pub(crate) async fn run(mut self, raft: Raft, stop: CancellationToken) -> Result<(), EnforcerGone> {
        let mut states = raft.watch();
        let mut again = tokio::time::interval(ROUND_EVERY);
        let (mut may_change, mut is_current) = (!self.take_over().await?, false);
        let current = pin!(wait_until_current(&raft));
        let mut current = current.fuse();
        loop {
            tokio::select! {
                changed = states.changed() => if changed.is_err() { return Ok(()) },
                _ = again.tick() => {}
                () = &mut current => (may_change, is_current) = (true, true),
                () = stop.cancelled() => return Ok(()),
            }
            let state = states.borrow_and_update().clone();
            if may_change {
                self.round(&state).await?;
            }
            self.panel.change_if(|now| std::mem::replace(&mut now.current, is_current) != is_current);
        }
    }

    /// Notes what the kernel enforces since before this process started; whether it enforces anything.
    ///
    /// If so, it is left alone until this node knows the current state of the cluster: a state from before the newest
    /// members were admitted would cut their sync flows (G0).
    async fn take_over(&mut self) -> Result<bool, EnforcerGone> {
        let (active, enforces) = self.site.enforcer.run(|enforcer| (enforcer.active(), enforcer.enforces())).await?;
        self.panel.change(|status| status.active = active);
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
                self.panel.alarm(Alarm::Guard, &format!("the guard cannot be built, the last one stays: {error}"));
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
        let current = self.panel.read().guard.clone();
        let pending = self.departing.as_ref().map(|(_, guard)| guard);
        if pending.unwrap_or(&current) != &wanted {
            let union = match current.union(&wanted) {
                Ok(union) => union,
                Err(error) => {
                    self.panel.alarm(
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
                self.panel.change(|status| {
                    status.guard = shared;
                    status.alarms.remove(&Alarm::Guard);
                });
            }
            Err(error) => self.panel.alarm(Alarm::Guard, &format!("the guard was not changed: {error}")),
        }
        Ok(())
    }

    // --- (2) the committed epoch ---------------------------------------------------------------------------------

    async fn follow_active(&mut self, state: &Arc<State>) -> Result<(), EnforcerGone> {
        let Some(epoch) = &state.active else { return Ok(()) };
        let committed = Target { revision: epoch.revision, image: epoch.image };
        if self.panel.read().target == Some(committed) {
            return Ok(());
        }
        if !std::mem::replace(&mut self.adopted, true) && self.adopt(state, committed.revision).await? {
            return Ok(());
        }
        if self.prepared.as_ref().is_none_or(|(_, compiled)| compiled.target != committed) {
            // A node that was away, or slow: it comes to the committed revision by itself. When members have changed
            // since that epoch its image differs, and the leader brings the next epoch with the new image.
            if self.panel.read().target.is_some_and(|target| target.revision == committed.revision) {
                return Ok(());
            }
            self.prepare_committed(state, committed.revision).await?;
        }
        match self.prepared.take_if(|(_, compiled)| compiled.target.revision == committed.revision) {
            Some((prepared, compiled)) => self.activate(prepared, compiled).await,
            None => Ok(()),
        }
    }

    async fn prepare_committed(&mut self, state: &Arc<State>, revision: u64) -> Result<(), EnforcerGone> {
        if self.failed.is_some_and(|(at, failed)| failed == revision && at.elapsed() < RETRY_AFTER) {
            return Ok(());
        }
        self.failed = None;
        self.prepare(state, revision).await?;
        let prepared = self.panel.read().preparation.clone();
        if let Some(Preparation::Failed { reason, .. }) = prepared {
            self.failed = Some((Instant::now(), revision));
            let sentence = format!("revision {revision} is live in the cluster and not here: {reason}");
            self.panel.alarm(Alarm::Activation, &sentence);
        }
        Ok(())
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
        let compiled = Arc::new(compiled);
        let given = compiled.clone();
        if !self.site.enforcer.run(move |enforcer| enforcer.adopt(&given.image)).await? {
            return Ok(false);
        }
        info!(revision, generation = active.generation, image = %live.image.short(), "adopted what the kernel enforces");
        self.site.flows.name(active.generation, &compiled);
        self.enforces(active, compiled);
        Ok(true)
    }

    fn enforces(&self, active: Active, compiled: Arc<Compiled>) {
        self.panel.change(|status| {
            status.active = Some(active);
            status.target = Some(compiled.target);
            status.compiled = Some(compiled);
            status.alarms.remove(&Alarm::Activation);
            status.alarms.remove(&Alarm::Attestation);
        });
    }

    async fn activate(&mut self, prepared: dataplane::Prepared, compiled: Arc<Compiled>) -> Result<(), EnforcerGone> {
        let target = compiled.target;
        self.site.flows.name(prepared.generation, &compiled);
        match self.site.enforcer.run(move |enforcer| enforcer.activate(prepared)).await? {
            Ok(active) => {
                info!(revision = target.revision, generation = active.generation, image = %target.image.short(), "active");
                self.enforces(active, compiled);
            }
            Err(error) => {
                self.panel
                    .alarm(Alarm::Activation, &format!("revision {} was not activated: {error}", target.revision));
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
        let failed = matches!(&self.panel.read().preparation,
            Some(Preparation::Failed { revision: failed, .. }) if *failed == revision);
        let live = self.panel.read().compiled.as_deref().is_some_and(fresh);
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
        self.panel.change(|status| status.preparation = Some(preparation));
        Ok(())
    }

    async fn load(&mut self, compiled: Arc<Compiled>) -> Result<Preparation, EnforcerGone> {
        let revision = compiled.target.revision;
        let obligations = self.obligations().await?;
        Ok(match prepare(&self.site.enforcer, &compiled, obligations).await? {
            Ok(prepared) => {
                let target = compiled.target;
                self.prepared = Some((prepared, compiled));
                Preparation::Ready(target)
            }
            Err(error) => Preparation::Failed { revision, reason: error.to_string() },
        })
    }

    /// What has to be proven: of a large guard that is many frames, so they are made beside the runtime.
    async fn obligations(&self) -> Result<Vec<Obligation>, EnforcerGone> {
        let (guard, site) = (self.panel.read().guard.clone(), self.site.clone());
        let making = tokio::task::spawn_blocking(move || policy::obligations(&guard, &site.interfaces));
        making.await.map_err(|_| EnforcerGone)
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
