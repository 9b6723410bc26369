//! The demonstration: three load balancers that agree on a policy, enforce it, and never cut what keeps them together.
//!
//! It stands everything up in network namespaces that it makes itself, shows each step with its time, prints what was measured
//! and leaves nothing behind. Any step that does not go as stated makes the exit code 1.

mod options;
mod report;
mod stage;
mod steps;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chaos_tests::{lab, require};

use options::Options;
use report::Report;
use stage::Stage;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the demonstration could not run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays every step; `false` when one did not go as stated.
fn run(options: &Options) -> Result<bool> {
    if let Some(reason) = require::missing() {
        bail!("{reason}");
    }
    let program = require::peer_program().map_err(anyhow::Error::msg)?;
    let steps = &steps::ALL[..steps::ALL.len().min(options.steps)];
    let mut report = Report::new(steps.len() + usize::from(!options.keep));
    let mut stage = Stage::new(options, program)?;
    let name = stage.site.lab.name().to_owned();
    for step in steps {
        let passed = report.step(step.title, |notes| (step.play)(&mut stage, notes))?;
        if !passed {
            report.say(&stage.site.lab.log_tails(options.log_lines))?;
            if step.essential {
                report.say("the steps that follow need this one; they are left out")?;
                break;
            }
        }
    }
    finish(options, &mut report, stage, &name)?;
    report.table()?;
    Ok(report.all_passed())
}

/// Takes the laboratory down, or leaves it up and says how to enter it.
fn finish(options: &Options, report: &mut Report, stage: Stage, name: &str) -> Result<()> {
    if options.keep {
        report.say(&stage.how_to_enter())?;
        stage.site.keep().context("keeping the laboratory")?;
        return Ok(());
    }
    report.step("everything taken down, nothing left behind", |_| {
        let Stage { site, .. } = stage;
        drop(site);
        let left = lab::leftovers(name);
        if !left.is_empty() {
            bail!("left behind: {left:?}");
        }
        Ok(())
    })?;
    Ok(())
}
