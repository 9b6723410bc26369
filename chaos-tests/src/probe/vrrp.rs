//! Changes of VRRP state, as keepalived's notify script wrote them down.

use std::fs;
use std::path::Path;

/// A state of a VRRP instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VrrpState {
    /// It holds the virtual address.
    Master,
    /// It listens to a master.
    Backup,
    /// Its interface is down.
    Fault,
    /// It ended.
    Stop,
}

/// One line of the notify script.
#[derive(Clone, Debug, PartialEq)]
pub struct VrrpEvent {
    /// Seconds since 1970.
    pub at: f64,
    /// The instance, for example `VI_4`.
    pub instance: String,
    /// What it became.
    pub state: VrrpState,
}

/// All events in a notify file, oldest first. A file that is not there has none.
pub fn events(file: &Path) -> Vec<VrrpEvent> {
    fs::read_to_string(file).unwrap_or_default().lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<VrrpEvent> {
    let mut words = line.split_whitespace();
    let at = words.next()?.parse().ok()?;
    let instance = words.next()?.to_owned();
    let state = match words.next()? {
        "MASTER" => VrrpState::Master,
        "BACKUP" => VrrpState::Backup,
        "FAULT" => VrrpState::Fault,
        "STOP" => VrrpState::Stop,
        _ => return None,
    };
    Some(VrrpEvent { at, instance, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_notify_script() {
        let event = parse("1795352855.531143957 VI_6 MASTER").unwrap();
        assert_eq!((event.instance.as_str(), event.state), ("VI_6", VrrpState::Master));
        assert!((event.at - 1_795_352_855.531_144).abs() < 1e-3);
        assert_eq!(parse("half a li"), None);
    }
}
