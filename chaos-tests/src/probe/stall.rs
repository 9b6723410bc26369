//! Moments at which the machine under the laboratory stood still, so that nothing on it is blamed for that.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// A stall of one processor or of all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// When it ended, in seconds since 1970.
    pub ended: f64,
    /// How long it lasted.
    pub lasted: Duration,
}

impl Stall {
    /// A stall from which a VRRP backup concludes that the master is dead lasts about three adverts of 100 ms; from half of that
    /// on, what is left of an advert's way may make it so.
    const VRRP_MIN: Duration = Duration::from_millis(150);
    /// How long after a stall a change of VRRP is still its doing.
    const AFTERMATH_SECONDS: f64 = 1.0;

    /// Whether a change of VRRP at this moment may be its doing.
    pub fn explains(&self, at: f64) -> bool {
        let began = self.ended - self.lasted.as_secs_f64();
        self.lasted >= Self::VRRP_MIN && began <= at && at <= self.ended + Self::AFTERMATH_SECONDS
    }
}

/// All stalls that `hedgerow-lab pulse` wrote to a file.
pub fn stalls(file: &Path) -> Vec<Stall> {
    fs::read_to_string(file).unwrap_or_default().lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Stall> {
    let (ended, millis) = line.split_once(' ')?;
    Some(Stall { ended: ended.parse().ok()?, lasted: Duration::from_millis(millis.trim().parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_explains_what_comes_right_after_it_and_nothing_else() {
        let stall = parse("1000.500 250").unwrap();
        assert!(stall.explains(1000.3) && stall.explains(1001.4));
        assert!(!stall.explains(1000.2) && !stall.explains(1001.6));
        assert!(!parse("1000.500 100").unwrap().explains(1000.5));
    }
}
