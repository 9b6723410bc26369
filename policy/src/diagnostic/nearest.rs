//! "Did you mean": the nearest of the names that would have been right.

/// Names longer than this are not compared: the work grows with the square of the length.
const COMPARED_CHARS_MAX: usize = 64;

/// The candidate that a slip of the finger would have turned into `written`, if there is one: at most one edit in three
/// characters. Of equally near ones the first in the alphabet.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = written.to_lowercase();
    let length = folded.chars().count();
    if length > COMPARED_CHARS_MAX {
        return None;
    }
    let edits_max = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= edits_max)
        .map(|candidate| (distance(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= edits_max)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits between two words: a character put in, left out, exchanged, or swapped with its neighbour (optimal string
/// alignment).
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, &l) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &r) in right.iter().enumerate() {
            let mut edits = (above[j + 1] + 1).min(row[j] + 1).min(above[j] + usize::from(l != r));
            if i > 0 && j > 0 && l == right[j - 1] && left[i - 1] == r {
                edits = edits.min(before[j - 1] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_slips() {
        for (left, right, edits) in
            [("", "", 0), ("", "abc", 3), ("abc", "abc", 0), ("acb", "abc", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }

    #[test]
    fn nearest_is_near() {
        let names = ["ingress", "egress", "appliesTo", "mode"];
        assert_eq!(nearest("ingres", names), Some("ingress"));
        assert_eq!(nearest("appliesto", names), Some("appliesTo"));
        assert_eq!(nearest("owner", names), None);
        assert_eq!(nearest(&"a".repeat(1000), names), None);
    }
}
