//! Waiting for what will be true: bounded, and saying what was waited for.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything in these tests may take. Far more than it does take, so that a busy machine fails nothing.
const LONG: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// Waits until `look` finds something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {LONG:?} in vain for {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until `holds`.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}
