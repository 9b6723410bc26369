//! The same request over and over beside whatever else happens, with a tally of what came back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::http::HttpProbe;
use crate::LabError;
use crate::lab::Namespace;

/// Which answers count as right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A 200 each time.
    Answer,
    /// Never a connection.
    Silence,
}

/// What came back so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests made.
    pub asked: u64,
    /// Requests that went as expected.
    pub right: u64,
    /// The first few that did not: when, counted from the start, and what happened.
    pub wrong: Vec<(Duration, String)>,
    /// The longest time without a right answer.
    pub longest_gap: Duration,
}

/// How many wrong answers are remembered with their words.
const WRONG_KEPT_MAX: usize = 20;

/// A running stream of requests. It ends when it is dropped.
pub struct Stream {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    /// Asks from a machine with this pause between requests.
    pub fn start(from: &Namespace, probe: HttpProbe, expect: Expect, pause: Duration) -> Result<Self, LabError> {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (from, ended, noted) = (from.clone(), stop.clone(), tally.clone());
        let thread = thread::Builder::new()
            .name(format!("stream from {}", from.short()))
            .spawn(move || {
                // A namespace that cannot be entered shows as a stream that asked nothing.
                let _ = from.within(|| repeat(probe, expect, pause, &ended, &noted));
            })
            .map_err(LabError::io("starting a stream of requests"))?;
        Ok(Self { stop, tally, thread: Some(thread) })
    }

    /// The tally so far.
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the stream and returns the whole tally.
    pub fn finish(mut self) -> Tally {
        self.end();
        self.tally()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A stream that panicked has told why on standard error.
            let _ = thread.join();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}

fn repeat(probe: HttpProbe, expect: Expect, pause: Duration, stop: &AtomicBool, tally: &Mutex<Tally>) {
    let started = Instant::now();
    let mut last_right = started;
    while !stop.load(Ordering::SeqCst) {
        let seen = judge(expect, probe);
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.asked += 1;
        match seen {
            Ok(()) => {
                tally.right += 1;
                last_right = Instant::now();
            }
            Err(what) if tally.wrong.len() < WRONG_KEPT_MAX => tally.wrong.push((started.elapsed(), what)),
            Err(_) => (),
        }
        tally.longest_gap = tally.longest_gap.max(last_right.elapsed());
        drop(tally);
        thread::sleep(pause);
    }
}

fn judge(expect: Expect, probe: HttpProbe) -> Result<(), String> {
    match (expect, probe.ask()) {
        (Expect::Answer, Ok(answer)) if answer.status == 200 => Ok(()),
        (_, Ok(answer)) => Err(format!("status {} from {}", answer.status, answer.body.trim())),
        (Expect::Silence, Err(super::ProbeFailure::NoConnection(_))) => Ok(()),
        (_, Err(failure)) => Err(failure.to_string()),
    }
}
