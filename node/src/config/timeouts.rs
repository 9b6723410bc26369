//! `[dataplane.timeouts]`: after how many idle seconds a remembered flow is forgotten.

use std::ops::{Range, RangeInclusive};

use dataplane::Timeouts;
use serde::Deserialize;
use toml::Spanned;

/// How long a flow may be remembered without a packet, in seconds; a week at most.
pub const IDLE_S: RangeInclusive<u32> = 1..=7 * 24 * 60 * 60;
/// How long the later fragments of a datagram may be waited for, in seconds. Whoever reassembles it gives up after 60 s (RFC 8200,
/// section 4.5), and the table of fragments is small.
pub const FRAGMENT_S: RangeInclusive<u32> = 1..=120;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTimeouts {
    tcp_opening_s: Option<Spanned<i64>>,
    tcp_s: Option<Spanned<i64>>,
    tcp_closing_s: Option<Spanned<i64>>,
    udp_opening_s: Option<Spanned<i64>>,
    udp_s: Option<Spanned<i64>>,
    other_s: Option<Spanned<i64>>,
    fragment_s: Option<Spanned<i64>>,
    pickup: Option<bool>,
}

/// A key, the seconds that it may say, and what was written: of any sign and size, so that the answer is the range.
type Bounded<'a> = (&'static str, RangeInclusive<u32>, &'a Option<Spanned<i64>>);

impl RawTimeouts {
    /// What is wrong: where, and what to write instead.
    pub(super) fn problems(&self) -> Vec<(Range<usize>, String)> {
        let outside = |(key, range, written): Bounded<'_>| {
            let is_in = |seconds: i64| u32::try_from(seconds).is_ok_and(|seconds| range.contains(&seconds));
            let written = written.as_ref().filter(|written| !is_in(*written.get_ref()))?;
            let (least, most) = (range.start(), range.end());
            Some((written.span(), format!("`{key}` is from {least} to {most} seconds, not {}", written.get_ref())))
        };
        let mut problems: Vec<_> = self.ranges().into_iter().filter_map(outside).collect();
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
    }

    /// A flow that nobody has answered must not be remembered longer than one that was: a flood of those fills the table.
    fn opening_outlives(
        key: &str,
        opening: &Option<Spanned<i64>>,
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
        let or = |written: &Option<Spanned<i64>>, default| {
            written.as_ref().and_then(|written| u32::try_from(*written.get_ref()).ok()).unwrap_or(default)
        };
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
