//! Seconds to ticks. Programs time flows by jiffies, which cost them nothing; how long a jiffy is, is found out here.

use crate::enforcer::Timeouts;

/// A tick is 2 to this power jiffies; `HR_TICK_SHIFT` of bpf/consts.h.
const TICK_SHIFT: u32 = 6;
/// The choices of CONFIG_HZ on the architectures that are supported.
const CHOICES: [u64; 6] = [100, 250, 300, 500, 512, 1_000];

/// CONFIG_HZ, from the two clocks at one moment. Jiffies begin five minutes before an overflow of 32 bits
/// (`INITIAL_JIFFIES`, include/linux/jiffies.h), the monotonic clock at 0.
pub(crate) fn jiffies_per_second(jiffies: u64, clock_ns: u64) -> u64 {
    let error = |hz: &u64| {
        let begin = (1u64 << 32) - 300 * hz;
        let since = jiffies.saturating_sub(begin);
        (since * 1_000 / hz).abs_diff(clock_ns / 1_000_000)
    };
    CHOICES.into_iter().min_by_key(error).unwrap_or(250)
}

/// The words of `hr_timeouts`.
pub(crate) fn ticks(timeouts: &Timeouts, jiffies_per_second: u64) -> [u32; 8] {
    // Rounded up, and at least one: an entry lives as long as it was told.
    let ticks = |seconds: u32| {
        let ticks = (u64::from(seconds) * jiffies_per_second).div_ceil(1 << TICK_SHIFT);
        u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
    };
    [
        ticks(timeouts.tcp_opening_s),
        ticks(timeouts.tcp_s),
        ticks(timeouts.tcp_closing_s),
        ticks(timeouts.udp_opening_s),
        ticks(timeouts.udp_s),
        ticks(timeouts.other_s),
        ticks(timeouts.fragment_s),
        u32::from(timeouts.pickup),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_of_a_jiffy_is_found() {
        for hz in CHOICES {
            for uptime_s in [10u64, 299, 301, 4_000, 900_000] {
                let jiffies = (1u64 << 32) - 300 * hz + uptime_s * hz;
                assert_eq!(jiffies_per_second(jiffies, uptime_s * 1_000_000_000 + 3_000_000), hz);
            }
        }
    }

    #[test]
    fn timeouts_are_never_shorter_than_asked() {
        let words = ticks(&Timeouts { tcp_s: 1, ..Timeouts::default() }, 100);
        assert_eq!(words[1], 2);
        assert_eq!(words[7], 1);
    }
}
