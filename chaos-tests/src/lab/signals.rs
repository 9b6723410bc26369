//! SIGINT and SIGTERM tear every laboratory of this process down before the process ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, Weak};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use super::roof::{Roof, lock};
use crate::LabError;

static ROOFS: Mutex<Vec<Weak<Roof>>> = Mutex::new(Vec::new());
static STARTED: Once = Once::new();
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The name of the thread that waits for signals.
const THREAD: &str = "signals";
/// The exit code after a signal, as shells count: 128 + SIGINT.
const EXIT_CODE: i32 = 130;

/// Adds a laboratory to those that a signal tears down.
pub(super) fn watch(roof: &Arc<Roof>) -> Result<(), LabError> {
    let mut roofs = lock(&ROOFS);
    roofs.retain(|roof| roof.strong_count() > 0);
    roofs.push(Arc::downgrade(roof));
    drop(roofs);
    let mut result = Ok(());
    STARTED.call_once(|| result = start());
    result
}

/// After a signal the thread that tears down also ends the process: every other thread waits for that here, instead of failing
/// at whatever has just been taken from under it.
pub(crate) fn wait_if_interrupted() {
    while INTERRUPTED.load(Ordering::SeqCst) && thread::current().name() != Some(THREAD) {
        thread::park();
    }
}

fn start() -> Result<(), LabError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LabError::io("preparing to catch signals"))?;
    thread::Builder::new()
        .name(THREAD.into())
        .spawn(move || {
            if let Err(error) = runtime.block_on(caught()) {
                eprintln!("signals are not caught, so the laboratory would stay behind on ^C: {error}");
                return;
            }
            INTERRUPTED.store(true, Ordering::SeqCst);
            eprintln!("interrupted: tearing the laboratory down");
            for roof in lock(&ROOFS).iter().filter_map(Weak::upgrade) {
                if let Err(error) = roof.tear_down() {
                    eprintln!("{error}");
                }
            }
            std::process::exit(EXIT_CODE);
        })
        .map_err(LabError::io("starting the thread that waits for signals"))?;
    Ok(())
}

/// Returns when one of the signals has come.
async fn caught() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
        _ = hangup.recv() => (),
    }
    Ok(())
}
