//! Targets of a measurement: which of them were met is told at its end, and by its exit status.

use std::process::ExitCode;

/// What was compared with its target so far.
#[derive(Default)]
pub(crate) struct Targets {
    missed: usize,
}

impl Targets {
    /// One line; what misses its target is marked.
    pub(crate) fn at_most(&mut self, what: &str, value: f64, unit: &str, target: f64) {
        let met = value <= target;
        self.missed += usize::from(!met);
        let mark = if met { "ok" } else { "MISSED" };
        println!("  {what:<74} {value:>8.3} {unit:<3} (target <= {target}{unit})  {mark}");
    }

    /// Failure if one was missed.
    pub(crate) fn exit(&self) -> ExitCode {
        if self.missed == 0 {
            return ExitCode::SUCCESS;
        }
        println!("\ntargets missed: {}", self.missed);
        ExitCode::FAILURE
    }
}
