//! Spans of time as people write them: `10s`, `1h30m`, `250ms`.

use std::time::Duration;

/// Units and how many milliseconds each is.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a span; parts with units, one after the other.
pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a span of time; write a number and a unit, such as 10s, 15m or 1h30m");
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit_ms)).ok_or_else(wrong)?;
        total_ms = total_ms.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(Duration::from_millis(total_ms))
}

/// A span for people, in its two largest units.
pub(super) fn show_span(span_ms: u64) -> String {
    if span_ms < 1000 {
        return format!("{span_ms} ms");
    }
    let parts: Vec<String> = UNITS
        .iter()
        .rev()
        .scan(span_ms, |rest, (name, unit_ms)| {
            let count = *rest / unit_ms;
            *rest %= unit_ms;
            Some((count, *name))
        })
        .filter(|(count, name)| *count > 0 && *name != "ms")
        .take(2)
        .map(|(count, name)| format!("{count}{name}"))
        .collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, ms) in [("10s", 10_000), ("250ms", 250), ("1h30m", 5_400_000), ("2d", 172_800_000), ("0s", 0)] {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "10", "s", "10x", "1.5h", "-3s", "99999999999999999999s", "184467440737095517d"] {
            assert!(parse_span(text).unwrap_err().contains("is not a span of time"), "{text}");
        }
    }

    #[test]
    fn spans_are_shown_in_two_units() {
        for (ms, shown) in [(0, "0 ms"), (999, "999 ms"), (61_500, "1m 1s"), (3_600_000, "1h"), (90_061_000, "1d 1h")] {
            assert_eq!(show_span(ms), shown);
        }
    }
}
