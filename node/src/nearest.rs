//! The nearest of some words to one that was misspelt.

/// How many letters may be wrong for a word to be worth suggesting.
const EDITS_MAX: usize = 3;

/// The candidate with the fewest edits to `written`, if those are few enough.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = EDITS_MAX.min(written.chars().count().div_ceil(2));
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(written, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let words = ["listen", "seeds", "expect", "bootstrap_secret_file"];
        assert_eq!(nearest("seed", words), Some("seeds"));
        assert_eq!(nearest("lisetn", words), Some("listen"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest("", words), None);
    }
}
