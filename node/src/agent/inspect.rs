//! Looks after the data path that is live: at its hooks, and at the tables that packets read.
//!
//! A task of its own with timers of its own: however long a revision is compiled, loaded and proven, a foreign detach is
//! noticed and repaired within a second (G20). What the data path's thread does at a stretch is bounded in `prepare`.

use std::time::Duration;

use dataplane::{Enforcer, HookState, HookStatus};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    enforce::{EnforcerGone, EnforcerHandle},
    enforcement::{Alarm, Enforcement, Panel},
};

/// How often the hooks are looked at (G20: a foreign detach is repaired within a second).
const HOOKS_CHECK_EVERY: Duration = Duration::from_millis(250);

/// How often the tables that packets read are read back and compared with what was activated.
const ATTEST_EVERY: Duration = Duration::from_secs(10);

/// Who looks, and where the findings go.
pub(crate) struct Inspector {
    enforcer: EnforcerHandle,
    panel: Panel,
}

impl Inspector {
    /// An inspector of this data path.
    #[must_use]
    pub(crate) fn new(enforcer: EnforcerHandle, panel: Panel) -> Self {
        Self { enforcer, panel }
    }

    /// Runs until `stop`, or until the data path's thread is gone.
    ///
    /// # Errors
    /// The data path's thread is gone.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), EnforcerGone> {
        let mut check = interval(HOOKS_CHECK_EVERY);
        let mut attest = interval_at(Instant::now() + ATTEST_EVERY, ATTEST_EVERY);
        // Looks that were missed are not made up for.
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = check.tick() => self.check_hooks().await?,
                _ = attest.tick() => self.attest().await?,
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    async fn check_hooks(&self) -> Result<(), EnforcerGone> {
        let look = |enforcer: &mut dyn Enforcer| (enforcer.check_hooks(), enforcer.disarmed());
        let (hooks, disarmed) = self.enforcer.run(look).await?;
        self.panel.change_if(|now| std::mem::replace(&mut now.disarmed, disarmed) != disarmed);
        match hooks {
            Ok(hooks) => {
                // The first activation exchanges them, and then there are hooks.
                let others_judge = self.enforcer.others_judged() && hooks.is_empty();
                self.panel.change_if(|now| std::mem::replace(&mut now.others_judge, others_judge) != others_judge);
                self.panel.change_if(|now| note(now, hooks));
                self.panel.clear(Alarm::Hooks);
            }
            Err(error) => self.panel.alarm(Alarm::Hooks, &format!("the hooks cannot be checked: {error}")),
        }
        Ok(())
    }

    /// Reads back what packets meet and compares it with what was activated (G5).
    async fn attest(&self) -> Result<(), EnforcerGone> {
        match self.enforcer.run(|enforcer| enforcer.attest()).await? {
            Ok(attestation) if attestation.active.map(|active| active.digest) == attestation.digest => {
                self.panel.clear(Alarm::Attestation);
            }
            Ok(attestation) => {
                let read = attestation.digest.map_or_else(|| "nothing".to_owned(), |digest| digest.short());
                self.panel.alarm(
                    Alarm::Attestation,
                    &format!("the tables of the data path read as {read}, not as what was activated"),
                );
            }
            Err(error) => {
                self.panel.alarm(Alarm::Attestation, &format!("the data path cannot be read back: {error}"));
            }
        }
        Ok(())
    }
}

/// Notes what was found at the hooks; whether it is something new.
fn note(now: &mut Enforcement, hooks: Vec<HookStatus>) -> bool {
    let mut changed = now.hooks != hooks;
    for hook in hooks.iter().filter(|hook| hook.state == HookState::Repaired) {
        warn!(interface = hook.interface, hook = %hook.hook, "someone had detached our program, put another before it, removed its pins or taken the policy's from behind the guard's; put right");
        *now.repaired.entry(hook.hook).or_default() += 1;
        changed = true;
    }
    now.hooks = hooks;
    changed
}

#[cfg(test)]
mod tests;
