//! The one ballot of a node, and its form on disk.

use std::{collections::BTreeSet, fmt, str::FromStr};

use identity::Fingerprint;
use serde::{Deserialize, Serialize};

use super::EXPECT_MAX;

const TITLE: &str = "hedgerow-ballot/1";

/// A vote for one set of founders. A node casts one in its life.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<Fingerprint>", into = "BTreeSet<Fingerprint>")]
pub struct Ballot(BTreeSet<Fingerprint>);

/// Something is not a ballot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BallotError {
    /// Nobody, or too many to found a cluster.
    #[error("a ballot for {0} founders; a cluster is founded by 1 to {EXPECT_MAX}")]
    Size(usize),
    /// The text on disk is not what was written there.
    #[error(
        "the ballot is damaged: {0}; without it nobody knows what this node has voted for, so it must not vote again: \
         restore the file, or give the node a new key and start the bootstrap again on all nodes"
    )]
    Damaged(String),
}

impl Ballot {
    /// A ballot for these founders.
    ///
    /// # Errors
    /// There are none, or too many.
    pub fn new(set: BTreeSet<Fingerprint>) -> Result<Self, BallotError> {
        if (1..=EXPECT_MAX).contains(&set.len()) { Ok(Self(set)) } else { Err(BallotError::Size(set.len())) }
    }

    /// The founders.
    #[must_use]
    pub fn set(&self) -> &BTreeSet<Fingerprint> {
        &self.0
    }

    /// Who mints the cluster when all agree.
    #[must_use]
    pub fn lowest(&self) -> Fingerprint {
        *self.0.first().expect("a ballot has at least one founder")
    }
}

impl TryFrom<BTreeSet<Fingerprint>> for Ballot {
    type Error = BallotError;

    fn try_from(set: BTreeSet<Fingerprint>) -> Result<Self, BallotError> {
        Self::new(set)
    }
}

impl From<Ballot> for BTreeSet<Fingerprint> {
    fn from(ballot: Ballot) -> Self {
        ballot.0
    }
}

/// The form on disk: a title, one fingerprint a line, and a last line that shows that none is missing.
impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}")?;
        self.0.iter().try_for_each(|founder| writeln!(f, "{founder}"))?;
        writeln!(f, "end {}", self.0.len())
    }
}

impl FromStr for Ballot {
    type Err = BallotError;

    fn from_str(text: &str) -> Result<Self, BallotError> {
        let damaged = |what: &str| BallotError::Damaged(what.to_owned());
        let body = text.strip_prefix(TITLE).and_then(|rest| rest.strip_prefix('\n'));
        let body = body.ok_or_else(|| damaged("its first line is missing"))?;
        let (founders, end) = body.split_once("end ").ok_or_else(|| damaged("its last line is missing"))?;
        let set: Result<BTreeSet<_>, _> = founders.lines().map(str::parse).collect();
        let set = set.map_err(|error| BallotError::Damaged(format!("{error}")))?;
        let ballot = Self::new(set)?;
        if end != format!("{}\n", ballot.0.len()) {
            return Err(damaged("its last line counts other founders"));
        }
        Ok(ballot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::btree_set, prelude::*};

    fn a_ballot() -> impl Strategy<Value = Ballot> {
        btree_set(any::<[u8; 32]>().prop_map(Fingerprint), 1..=EXPECT_MAX).prop_map(Ballot)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ballot in a_ballot()) {
            prop_assert_eq!(ballot.to_string().parse(), Ok(ballot.clone()));
            let json = serde_json::to_string(&ballot).unwrap();
            prop_assert_eq!(serde_json::from_str::<Ballot>(&json).unwrap(), ballot);
        }

        /// G7: a file cut short by a crash is damage, and never a smaller ballot.
        #[test]
        fn a_cut_file_is_refused(ballot in a_ballot(), part in 0.0..1.0) {
            let text = ballot.to_string();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
            let cut = (text.len() as f64 * part) as usize;
            prop_assert!(text[..cut].parse::<Ballot>().is_err());
        }
    }

    #[test]
    fn nobody_cannot_found_a_cluster() {
        assert_eq!(Ballot::new(BTreeSet::new()), Err(BallotError::Size(0)));
        assert!(serde_json::from_str::<Ballot>("[]").is_err());
    }
}
