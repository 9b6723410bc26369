//! Rate limits of a rule: how much of what it allows may pass in a second.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Nanoseconds of a second.
const SECOND_NS: u32 = 1_000_000_000;

/// A token bucket: it holds `burst` tokens, and `per_second` are put back each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// Tokens that come back in a second, 1 to [`RATE_PER_SECOND_MAX`](super::limits::RATE_PER_SECOND_MAX).
    pub per_second: u32,
    /// Tokens that it holds at most, 1 to [`RATE_BURST_MAX`](super::limits::RATE_BURST_MAX).
    pub burst: u32,
}

impl Rate {
    /// A rate with room for what comes in one second: what a document means that gives no burst.
    pub fn steady(per_second: u32) -> Rate {
        Rate { per_second, burst: per_second }
    }

    /// Nanoseconds until the next token comes back, to the nearest whole one and at least 1.
    pub fn interval_ns(self) -> u32 {
        let per_second = self.per_second.max(1);
        (SECOND_NS.saturating_add(per_second / 2) / per_second).max(1)
    }
}

/// What a rule that allows lets pass in a second, on each node by itself. At least one of the four is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleLimits {
    /// Packets, for the rule as a whole.
    pub packets: Option<Rate>,
    /// Packets that begin a connection or flow, for the rule as a whole.
    pub new_connections: Option<Rate>,
    /// Packets of each source address.
    pub source_packets: Option<Rate>,
    /// Packets of each source address that begin a connection or flow.
    pub source_new_connections: Option<Rate>,
}

impl RuleLimits {
    /// Whether it limits nothing: no document means that.
    pub fn is_empty(&self) -> bool {
        *self == RuleLimits::default()
    }
}

/// In words: "at most 100 new connections a second (burst 100), 10 a second from one source (burst 10)".
impl fmt::Display for RuleLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = sentence("new connections", self.new_connections, self.source_new_connections);
        let packets = sentence("packets", self.packets, self.source_packets);
        let parts: Vec<String> = connections.into_iter().chain(packets).collect();
        if parts.is_empty() { f.write_str("no limit") } else { write!(f, "at most {}", parts.join(", and ")) }
    }
}

/// What is allowed of one kind; `None` if that has no limit.
fn sentence(what: &str, whole: Option<Rate>, source: Option<Rate>) -> Option<String> {
    let one = |Rate { per_second, burst }: Rate, what: &str, whose: &str| {
        format!("{per_second}{what} a second{whose} (burst {burst})")
    };
    let what = format!(" {what}");
    match (whole, source) {
        (Some(whole), Some(source)) => Some(format!("{}, {}", one(whole, &what, ""), one(source, "", FROM_ONE_SOURCE))),
        (Some(whole), None) => Some(one(whole, &what, "")),
        (None, Some(source)) => Some(one(source, &what, FROM_ONE_SOURCE)),
        (None, None) => None,
    }
}

const FROM_ONE_SOURCE: &str = " from one source";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::RATE_PER_SECOND_MAX;

    #[test]
    fn intervals_are_rounded_to_the_nearest_nanosecond() {
        for (per_second, interval_ns) in
            [(1, 1_000_000_000), (3, 333_333_333), (6, 166_666_667), (7_000_000, 143), (RATE_PER_SECOND_MAX, 100)]
        {
            assert_eq!(Rate::steady(per_second).interval_ns(), interval_ns, "{per_second} a second");
        }
        assert_eq!(Rate::steady(u32::MAX).interval_ns(), 1);
    }

    #[test]
    fn limits_are_said_in_words() {
        let all = RuleLimits {
            packets: Some(Rate { per_second: 10_000, burst: 20_000 }),
            new_connections: Some(Rate::steady(100)),
            source_packets: None,
            source_new_connections: Some(Rate::steady(10)),
        };
        assert_eq!(
            all.to_string(),
            "at most 100 new connections a second (burst 100), 10 a second from one source (burst 10), \
             and 10000 packets a second (burst 20000)"
        );
        let source = RuleLimits { source_packets: Some(Rate::steady(5)), ..RuleLimits::default() };
        assert_eq!(source.to_string(), "at most 5 packets a second from one source (burst 5)");
    }
}
