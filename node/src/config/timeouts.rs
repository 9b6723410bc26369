//! `[dataplane.timeouts]`: after how many idle seconds a remembered flow is forgotten.

use std::ops::{Range, RangeInclusive};

use dataplane::Timeouts;
use serde::Deserialize;

use super::bounded::{Bounded, Written, or};

/// How long a flow may be remembered without a packet, in seconds; a week at most.
pub const IDLE_S: RangeInclusive<u32> = 1..=7 * 24 * 60 * 60;
/// How long the later fragments of a datagram may be waited for, in seconds. Whoever reassembles it gives up after 60 s (RFC 8200,
/// section 4.5), and the table of fragments is small.
pub const FRAGMENT_S: RangeInclusive<u32> = 1..=120;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTimeouts {
    tcp_opening_s: Written,
    tcp_s: Written,
    tcp_closing_s: Written,
    udp_opening_s: Written,
    udp_s: Written,
    other_s: Written,
    fragment_s: Written,
    pickup: Option<bool>,
}

impl RawTimeouts {
    /// What is wrong: where, and what to write instead.
    pub(super) fn problems(&self) -> Vec<(Range<usize>, String)> {
        let mut problems: Vec<_> = self.ranges().into_iter().filter_map(Bounded::problem).collect();
        problems.extend(Self::opening_outlives("tcp_opening_s", &self.tcp_opening_s, "tcp_s", self.timeouts().tcp_s));
        problems.extend(Self::opening_outlives("udp_opening_s", &self.udp_opening_s, "udp_s", self.timeouts().udp_s));
        problems
    }

    fn ranges(&self) -> [Bounded<'_>; 7] {
        [
            ("tcp_opening_s", IDLE_S, &self.tcp_opening_s),
            ("tcp_s", IDLE_S, &self.tcp_s),
            ("tcp_closing_s", IDLE_S, &self.tcp_closing_s),
            ("udp_opening_s", IDLE_S, &self.udp_opening_s),
            ("udp_s", IDLE_S, &self.udp_s),
            ("other_s", IDLE_S, &self.other_s),
            ("fragment_s", FRAGMENT_S, &self.fragment_s),
        ]
        .map(|(key, range, written)| Bounded { key, unit: "seconds", range, written })
    }

    /// A flow that nobody has answered must not be remembered longer than one that was: a flood of those fills the table.
    fn opening_outlives(
        key: &str,
        opening: &Written,
        answered_key: &str,
        answered_s: u32,
    ) -> Option<(Range<usize>, String)> {
        let opening = opening.as_ref().filter(|opening| *opening.get_ref() > answered_s.into())?;
        let message = format!(
            "`{key}` is {} s and `{answered_key}` is {answered_s} s: a flow without an answer would be remembered longer than one \
             with; make `{key}` the smaller one",
            opening.get_ref()
        );
        Some((opening.span(), message))
    }

    /// What was written, and the defaults for the rest.
    pub(super) fn timeouts(&self) -> Timeouts {
        let usual = Timeouts::default();
        Timeouts {
            tcp_opening_s: or(&self.tcp_opening_s, usual.tcp_opening_s),
            tcp_s: or(&self.tcp_s, usual.tcp_s),
            tcp_closing_s: or(&self.tcp_closing_s, usual.tcp_closing_s),
            udp_opening_s: or(&self.udp_opening_s, usual.udp_opening_s),
            udp_s: or(&self.udp_s, usual.udp_s),
            other_s: or(&self.other_s, usual.other_s),
            fragment_s: or(&self.fragment_s, usual.fragment_s),
            pickup: self.pickup.unwrap_or(usual.pickup),
        }
    }
}
