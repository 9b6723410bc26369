//! A whole number that has a least and a most.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;

/// A number as it is written: of any sign and size, so that what is out of range is refused by the range.
pub(super) type Written = Option<Spanned<i64>>;

/// A key, what its number counts, from where to where that goes, and what was written.
pub(super) struct Bounded<'a> {
    pub(super) key: &'static str,
    pub(super) unit: &'static str,
    pub(super) range: RangeInclusive<u32>,
    pub(super) written: &'a Written,
}

impl Bounded<'_> {
    /// What is wrong, if the number is out of range: where, and what to write instead.
    pub(super) fn problem(self) -> Option<(Range<usize>, String)> {
        let is_in = |number: i64| u32::try_from(number).is_ok_and(|number| self.range.contains(&number));
        let written = self.written.as_ref().filter(|written| !is_in(*written.get_ref()))?;
        let (key, unit, least, most) = (self.key, self.unit, self.range.start(), self.range.end());
        Some((written.span(), format!("`{key}` is from {least} to {most} {unit}, not {}", written.get_ref())))
    }
}

/// The number that was written, or the usual one.
pub(super) fn or(written: &Written, usual: u32) -> u32 {
    written.as_ref().and_then(|written| u32::try_from(*written.get_ref()).ok()).unwrap_or(usual)
}
