//! An explanation as text.

use std::fmt;

use super::{Direction, Explanation, Step};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.decision.verdict.to_string().to_uppercase();
        let observe = if self.decision.observe { " (a policy in observe mode would deny it)" } else { "" };
        writeln!(f, "{}: {verdict}{observe}", self.flow)?;
        for direction in &self.directions {
            write!(f, "{direction}")?;
        }
        if !self.trial.is_empty() {
            writeln!(f, "if the observing policies were enforced:")?;
            for direction in &self.trial {
                write!(f, "{direction}")?;
            }
        }
        if self.agree {
            write!(f, "the compiled image decides the same")
        } else {
            write!(
                f,
                "THE COMPILED IMAGE DECIDES OTHERWISE ({}); what is enforced is the image. This is a bug; please report it",
                self.image.verdict
            )
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}: {} by {}", self.side, self.address, self.verdict, self.rule)?;
        for step in &self.steps {
            writeln!(f, "  {step}")?;
        }
        match self.elsewhere {
            0 => Ok(()),
            1 => writeln!(f, "  1 policy does not apply here"),
            many => writeln!(f, "  {many} policies do not apply here"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.tier, self.policy)?;
        match (&self.rule, self.action) {
            (Some(rule), Some(action)) => {
                let matches = if self.matched { "matches" } else { "does not match" };
                write!(f, "/{rule} ({action}) {matches}: {}", self.why)
            }
            _ => write!(f, " is skipped: {}", self.why),
        }
    }
}
