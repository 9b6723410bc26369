//! What a person at the terminal sees: each step with its time, and at the end what was measured.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::Result;

/// The width of a step's title in the table, in characters.
const TITLE_WIDTH: usize = 96;

/// The story so far.
pub(crate) struct Report {
    started: Instant,
    total: usize,
    steps: Vec<(String, bool, Duration)>,
    measured: Vec<(String, String)>,
}

/// What a step has to say while it plays.
#[derive(Default)]
pub(crate) struct Notes {
    measured: Vec<(String, String)>,
}

impl Notes {
    /// A remark, printed at once.
    pub(crate) fn say(&mut self, text: impl AsRef<str>) -> Result<()> {
        let mut out = io::stdout().lock();
        for line in text.as_ref().lines() {
            writeln!(out, "      {line}")?;
        }
        Ok(())
    }

    /// A figure for the table at the end, printed at once too.
    pub(crate) fn measure(&mut self, what: &str, value: impl std::fmt::Display) -> Result<()> {
        let value = value.to_string();
        self.say(format!("{what}: {value}"))?;
        self.measured.push((what.to_owned(), value));
        Ok(())
    }
}

impl Report {
    pub(crate) fn new(total: usize) -> Self {
        Self { started: Instant::now(), total, steps: Vec::new(), measured: Vec::new() }
    }

    /// Plays one step and tells how it went.
    pub(crate) fn step(&mut self, title: &str, play: impl FnOnce(&mut Notes) -> Result<()>) -> Result<bool> {
        let number = self.steps.len() + 1;
        writeln!(io::stdout(), "[{:7.2} s] {number}/{} {title}", self.started.elapsed().as_secs_f64(), self.total)?;
        let started = Instant::now();
        let mut notes = Notes::default();
        let outcome = play(&mut notes);
        let took = started.elapsed();
        self.measured.append(&mut notes.measured);
        let passed = match outcome {
            Ok(()) => true,
            Err(error) => {
                writeln!(io::stdout(), "      NOT AS STATED: {error:#}")?;
                false
            }
        };
        writeln!(io::stdout(), "      {} in {}", if passed { "pass" } else { "FAIL" }, show(took))?;
        self.steps.push((title.to_owned(), passed, took));
        Ok(passed)
    }

    /// Prints something outside of any step.
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        writeln!(io::stdout(), "{text}")?;
        Ok(())
    }

    pub(crate) fn all_passed(&self) -> bool {
        self.steps.iter().all(|(_, passed, _)| *passed)
    }

    /// The last page.
    pub(crate) fn table(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "\nSteps")?;
        for (number, (title, passed, took)) in (1..).zip(&self.steps) {
            let word = if *passed { "pass" } else { "FAIL" };
            writeln!(out, "  {number:2} {title:TITLE_WIDTH$} {word} {:>9}", show(*took))?;
        }
        writeln!(out, "\nMeasured")?;
        for (what, value) in &self.measured {
            writeln!(out, "     {what:TITLE_WIDTH$} {value}")?;
        }
        let failed = self.steps.iter().filter(|(_, passed, _)| !passed).count();
        let whole = show(self.started.elapsed());
        if failed == 0 {
            writeln!(out, "\nAll {} steps went as stated, in {whole}.", self.steps.len())?;
        } else {
            writeln!(out, "\n{failed} of {} steps did not go as stated, in {whole}.", self.steps.len())?;
        }
        Ok(())
    }
}

/// A time as a person reads it.
pub(crate) fn show(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}
