//! What systemd is told: ready, status, alive, stopping. Without systemd every call does nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// The service is up: `systemctl start` returns.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The service is on its way down.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the watchdog that the process is alive, twice per period, for as long as `alive` says so.
///
/// Returns at once when the unit has no watchdog, and when `shutdown` is cancelled.
pub async fn watchdog(alive: impl Fn() -> bool + Send, shutdown: CancellationToken) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval((period / 2).max(Duration::from_millis(1)));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if alive() {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(
                period_ms = period.as_millis(),
                "the node does not make progress; the watchdog is not told that it is alive"
            );
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
