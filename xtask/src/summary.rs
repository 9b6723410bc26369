//! What a run of all tests came to, read from what the runs printed.

use std::collections::BTreeSet;

use crate::failure::Failure;
use crate::shell::say;

/// The counts so far.
#[derive(Default)]
pub(crate) struct Summary {
    passed: usize,
    failed: Vec<String>,
    ignored: usize,
    skipped: BTreeSet<String>,
    /// The test whose captured output is being read.
    shown: Option<String>,
}

impl Summary {
    /// Notes how a check that is no test went.
    pub(crate) fn check(&mut self, name: &str, outcome: &Result<(), Failure>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(failure) => self.failed.push(format!("{name}: {failure}")),
        }
    }

    /// Notes something that could not be done here.
    pub(crate) fn skip(&mut self, what: &str) {
        self.skipped.insert(what.to_owned());
    }

    /// Reads one line of the test harness.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(counts) = line.trim().strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.ignored += count(counts, "ignored");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failed.push(name.to_owned());
        }
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.shown = Some(name.to_owned());
        } else if line == "successes:" || line == "failures:" || line.starts_with("test result: ") {
            self.shown = None;
        }
        // A test's own word may stand behind the harness's on one line: "test x ... skipped: needs root".
        if let Some(at) = line.find("skipped: ") {
            let reason = line[at + "skipped: ".len()..].trim();
            self.skipped.insert(match &self.shown {
                Some(test) => format!("{test}: {reason}"),
                None => reason.to_owned(),
            });
        }
    }

    /// Prints everything, the counts last.
    pub(crate) fn print(&self) -> Result<(), Failure> {
        say("\nSummary")?;
        for reason in &self.skipped {
            say(format!("  skipped  {reason}"))?;
        }
        for name in &self.failed {
            say(format!("  FAILED   {name}"))?;
        }
        if self.ignored > 0 {
            say(format!("  ignored  {} tests that are marked so", self.ignored))?;
        }
        say(self.last_line())
    }

    /// A test that skips itself counts as passed for the harness, and as skipped for us.
    fn last_line(&self) -> String {
        let passed = self.passed.saturating_sub(self.skipped.len());
        format!("{passed} passed, {} failed, {} skipped", self.failed.len(), self.skipped.len() + self.ignored)
    }

    pub(crate) fn all_passed(&self) -> bool {
        self.failed.is_empty()
    }
}

fn count(text: &str, word: &str) -> usize {
    let part = text.split(['.', ';']).map(str::trim).find(|part| part.ends_with(word));
    part.and_then(|part| part.split(' ').next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_words_are_told_apart_by_their_test() {
        let mut summary = Summary::default();
        let text = "test a ... ok\ntest b ... ok\n\nsuccesses:\n\n---- a stdout ----\nskipped: needs root\n\n---- b stdout \
                    ----\nskipped: needs root\n\n\nsuccesses:\n    a\n    b\n\ntest result: ok. 2 passed; 0 failed; 0 ignored;";
        text.lines().for_each(|line| summary.read(line));
        assert_eq!(summary.last_line(), "0 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn the_counts_come_from_the_harness_and_skips_from_the_tests() {
        let mut summary = Summary::default();
        for line in [
            "test a ... ok",
            "skipped: b: needs root",
            "test b ... ok",
            "test c ... skipped: c: needs root",
            "test d ... FAILED",
            "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ] {
            summary.read(line);
        }
        assert_eq!(summary.last_line(), "1 passed, 1 failed, 4 skipped");
        assert!(!summary.all_passed());
    }
}
