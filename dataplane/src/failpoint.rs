//! Places where a test lets the process die by SIGKILL, so that what a crash leaves behind is known for every step and not for a few
//! moments by chance. A build without debug assertions has none of it.

/// Every place, in about the order in which a process comes by.
pub const FAILPOINTS: [&str; 27] = [
    "state-shared",
    "map-made",
    "map-pinned",
    "loaded",
    "handed-on",
    "gate-opened",
    "entry-added",
    "entry-removed",
    "gate-closed",
    "filling",
    "filled",
    "meta-written",
    "read-back",
    "proven",
    "before-flip",
    "flipped",
    "state-copied",
    "link-created",
    "link-pinned",
    "link-updated",
    "interface-attached",
    "programs-pinned",
    "exchanged",
    "others-removed",
    "forward-attached",
    "forward-pinned",
    "forward-in-place",
];

/// Names the place at which the process ends.
#[cfg(debug_assertions)]
const VARIABLE: &str = "HEDGEROW_FAILPOINT";

/// Ends the process here, if a test has asked for it.
#[cfg(debug_assertions)]
pub(crate) fn failpoint(name: &str) {
    use std::sync::OnceLock;

    use rustix::process::{Signal, getpid, kill_process};

    static ASKED: OnceLock<Option<String>> = OnceLock::new();
    debug_assert!(FAILPOINTS.contains(&name), "{name} is not in the list of places");
    if ASKED.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(name) {
        let killed = kill_process(getpid(), Signal::KILL);
        unreachable!("a process may end itself: {killed:?}");
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn failpoint(_: &str) {}
