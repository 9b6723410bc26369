//! Why a forming cluster cannot go on by itself, in words for the person who can.

use identity::Fingerprint;

use super::{Ballot, Candidate, EXPECT_MAX, Forming};

/// Waiting will not help; the sentence says what does. Nothing was decided: there is no cluster that could be split.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Stuck {
    /// The configuration expects nobody, or too many.
    #[error("`expect = {0}` cannot form a cluster; expect 1 to {EXPECT_MAX} nodes, more can join later")]
    Expect(usize),
    /// More candidates than expected were heard of: any N of them would be an arbitrary choice.
    #[error(
        "{expect} nodes are expected and {count} were heard of: {list}; stop the ones that do not belong to this cluster (or \
         have a new key since their disk was replaced), correct `expect` or `seeds`, remove the ballots of this bootstrap \
         and start the nodes again", count = candidates.len(), list = candidates.join(", ")
    )]
    TooMany {
        /// How many the configuration expects.
        expect: usize,
        /// All that were heard of: name, fingerprint, address.
        candidates: Vec<String>,
    },
    /// Another node is configured for another number of founders.
    #[error("this node expects {ours} founders and {peer} expects {theirs}; make `expect` the same on all of them")]
    ExpectDiffers {
        /// The other node.
        peer: String,
        /// Its number.
        theirs: usize,
        /// Ours.
        ours: usize,
    },
    /// Another node has voted for another set.
    #[error(
        "{peer} has voted for {theirs}, this node hears of {ours}; if these nodes shall form one cluster, stop all of them, \
         remove their ballots and start them again"
    )]
    VotesDiffer {
        /// The other node.
        peer: String,
        /// Its set, by short fingerprint.
        theirs: String,
        /// Ours, voted for or heard of.
        ours: String,
    },
    /// Another node has told two different ballots: its disk was set back.
    #[error(
        "{peer} has voted twice, so its disk was set back or copied; give it a new key and start the bootstrap again on all nodes"
    )]
    VotedTwice {
        /// The other node.
        peer: String,
    },
    /// The persisted ballot is not one of this node, or not of this configuration.
    #[error(
        "the ballot on this node's disk is for {ballot}, which does not fit this node ({me}) and `expect = {expect}`; restore \
         its key or its configuration, or remove the ballots of this bootstrap on all nodes and start again"
    )]
    BallotDiffers {
        /// What was voted for.
        ballot: String,
        /// This node.
        me: String,
        /// The number that is configured.
        expect: usize,
    },
}

impl Forming {
    /// Why nothing will move, as far as this node can tell.
    pub(super) fn find_stuck(&self) -> Option<Stuck> {
        let Self { me, expect, ballot, .. } = self;
        if !(1..=EXPECT_MAX).contains(expect) {
            return Some(Stuck::Expect(*expect));
        }
        if let Some(ballot) = ballot
            && (ballot.set().len() != *expect || !ballot.set().contains(&me.fingerprint))
        {
            return Some(Stuck::BallotDiffers { ballot: list(ballot), me: describe(me), expect: *expect });
        }
        self.quarrel().or_else(|| self.crowd())
    }

    /// Someone who says what cannot be squared with what this node says.
    fn quarrel(&self) -> Option<Stuck> {
        for peer in self.peers.values() {
            let Some(word) = &peer.word else { continue };
            let who = || describe(&peer.candidate);
            if word.broke_its_word {
                return Some(Stuck::VotedTwice { peer: who() });
            }
            if word.expect != self.expect {
                return Some(Stuck::ExpectDiffers { peer: who(), theirs: word.expect, ours: self.expect });
            }
            if let Some(theirs) = &word.ballot
                && !self.could_share(theirs)
            {
                let heard = || self.candidates().map(|c| short(&c.fingerprint)).collect::<Vec<_>>().join(", ");
                let ours = self.ballot.as_ref().map_or_else(heard, list);
                return Some(Stuck::VotesDiffer { peer: who(), theirs: list(theirs), ours });
            }
        }
        None
    }

    /// Whether this node has cast the same ballot, or could still.
    fn could_share(&self, theirs: &Ballot) -> bool {
        match &self.ballot {
            Some(ours) => ours == theirs,
            None => self.candidates().all(|candidate| theirs.set().contains(&candidate.fingerprint)),
        }
    }

    /// More candidates than founders, those that only a ballot names included.
    fn crowd(&self) -> Option<Stuck> {
        let unheard = || self.ballot.iter().flat_map(Ballot::set).filter(|founder| !self.knows(founder));
        if self.candidates().count() + unheard().count() <= self.expect {
            return None;
        }
        let mut candidates: Vec<_> = self.candidates().map(describe).collect();
        candidates.extend(unheard().map(|founder| format!("one not heard since this node voted ({})", short(founder))));
        Some(Stuck::TooMany { expect: self.expect, candidates })
    }
}

/// A candidate, for people.
pub(super) fn describe(candidate: &Candidate) -> String {
    format!("{} ({} at {})", candidate.name, short(&candidate.fingerprint), candidate.addr)
}

/// The first digits of a fingerprint.
pub(super) fn short(fingerprint: &Fingerprint) -> String {
    let mut text = fingerprint.to_string();
    text.truncate(12);
    text
}

fn list(ballot: &Ballot) -> String {
    ballot.set().iter().map(short).collect::<Vec<_>>().join(", ")
}
