//! Notices when the machine itself stands still: a thread on each processor that should wake up every few milliseconds.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use rustix::thread::{CpuSet, sched_setaffinity};

/// The pause between two beats.
const BEAT: Duration = Duration::from_millis(5);
/// A beat that comes later than this is written down.
const LATE_MIN: Duration = Duration::from_millis(60);

/// Writes a line for each late beat, `SECONDS-SINCE-1970 MILLISECONDS`, until the process is killed.
pub(crate) fn watch(file: &str) -> anyhow::Result<()> {
    let file =
        Mutex::new(File::options().create(true).append(true).open(file).with_context(|| format!("opening {file}"))?);
    let processors = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        for processor in 0..processors {
            let file = &file;
            scope.spawn(move || beat(processor, file));
        }
    });
    Ok(())
}

fn beat(processor: usize, file: &Mutex<File>) {
    let mut only = CpuSet::new();
    only.set(processor);
    // Where it may not choose its processor it still notices when all of them stand still.
    let _ = sched_setaffinity(None, &only);
    let mut last = Instant::now();
    loop {
        thread::sleep(BEAT);
        let late = last.elapsed();
        last = Instant::now();
        if late < LATE_MIN {
            continue;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Ok(mut file) = file.lock() {
            // A full disk shows elsewhere.
            let _ = writeln!(file, "{:.3} {}", now.as_secs_f64(), late.as_millis());
        }
    }
}
