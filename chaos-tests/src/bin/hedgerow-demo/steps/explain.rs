//! Why a packet passes or not, from the compiled image and from the kernel.

use anyhow::{Result, ensure};

use crate::report::Notes;
use crate::stage::Stage;

/// Source, destination, service, verdict.
const FLOWS: [(&str, &str, &str, &str); 4] = [
    ("203.0.113.201", "203.0.113.100", "tcp/80", "allow"),
    ("203.0.113.202", "203.0.113.100", "tcp/80", "deny"),
    ("2001:db8:77::202", "2001:db8:77::100", "tcp/80", "deny"),
    ("10.88.0.11", "10.88.0.1", "tcp/8404", "deny"),
];

pub(crate) fn play(stage: &mut Stage, notes: &mut Notes) -> Result<()> {
    let cli = stage.site.balancers[0].cli();
    for (src, dst, service, verdict) in FLOWS {
        let explained = cli.explain(src, dst, service)?;
        notes.say(format!("policy explain {src} {dst} {service}: {}", explained.verdict))?;
        notes.say(&explained.text)?;
        ensure!(explained.verdict == verdict, "{src} to {dst} {service} should be {verdict}");
        for answer in &explained.kernel {
            notes.say(format!("kernel at {}: {} ({})", answer.hook, answer.verdict, answer.reason))?;
            ensure!(answer.agrees, "the kernel at {} does not agree", answer.hook);
        }
    }
    Ok(())
}
