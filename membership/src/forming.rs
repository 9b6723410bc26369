//! The forming of a cluster from N nodes that were all started alike (design: consensus, "Forming").
//!
//! Every node that may found the cluster is a *candidate*, named by the fingerprint of its key. The nodes tell each other
//! which candidates they have heard of. A node that has heard of exactly N, itself among them, and has heard each of them
//! say that it knows the same N, casts its one *ballot* for this set: it makes the ballot durable and never casts another.
//! Only when all N have told the same ballot are they *elected*, and the lowest of them mints the cluster.
//!
//! **Why there is never a second cluster (G9).** A cluster needs the ballots of all nodes of its set, and a node has one
//! ballot. So two clusters would have to be formed by sets without a common node; and with more than N candidates heard
//! of, nobody casts or counts. What remains is waiting, which [`Status`] explains: a missing node, or [`Stuck`].
//!
//! The machine needs no order, no exactly-once and no authentic relay from the network: messages may be lost, doubled,
//! late, and a node may stop at any instant and come back with nothing but its ballot.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use identity::Fingerprint;
use tracing::warn;

mod ballot;
mod message;
mod stuck;

pub use ballot::{Ballot, BallotError};
pub use message::{CANDIDATE_NAME_BYTES_MAX, CANDIDATE_PAYLOAD_BYTES_MAX, Candidate, Message};
pub use stuck::Stuck;

use stuck::describe;

/// Most nodes that can found a cluster together; more can join it.
pub const EXPECT_MAX: usize = 32;

/// Most candidates that are kept in mind; from the (N+1)th on the machine is stuck anyway.
pub const CANDIDATES_MAX: usize = 64;

/// What happens to a forming node.
#[derive(Debug, Clone)]
pub enum Input {
    /// Begin, and then from time to time: what was told may have been lost. Twice a second is often enough.
    Tick,
    /// A message of a node that has proved its key and the secret of the bootstrap.
    Heard {
        /// The fingerprint of its key.
        from: Fingerprint,
        /// What it told.
        message: Message,
    },
}

/// What the caller has to do, **in this order**; if one of them fails, the rest must not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the ballot durable (fsync of file and folder). If that fails, stop forming: nothing has been told yet.
    Persist(Ballot),
    /// Tell a candidate; may be lost.
    Tell {
        /// Whom.
        to: Fingerprint,
        /// Where it said it can be reached.
        addr: SocketAddr,
        /// What.
        message: Message,
    },
    /// All N have cast the same ballot. The lowest mints the cluster, the others wait to be told. Comes once in the life of
    /// a machine, and again after a restart: who has minted must find that on its disk first, and not form again.
    Elected {
        /// Who mints.
        lowest: Fingerprint,
        /// All founders, in the order of their fingerprints.
        set: Vec<Candidate>,
    },
    /// Nothing will move until someone acts. Comes whenever the reason changes; the machine goes on listening.
    Stuck(Stuck),
}

/// How far the forming is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Waiting for candidates, or for them to have heard of each other.
    Gathering {
        /// How many are expected.
        expect: usize,
        /// Those heard of so far, this node among them: name, fingerprint, address.
        heard: Vec<String>,
    },
    /// This node has cast its ballot and waits for those of the others.
    Voting {
        /// Those whose ballot is missing.
        missing: Vec<String>,
    },
    /// All agree.
    Elected {
        /// Who mints the cluster.
        lowest: Fingerprint,
    },
    /// Someone has to act.
    Stuck(Stuck),
}

/// One node's part in the forming of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Forming {
    me: Candidate,
    expect: usize,
    ballot: Option<Ballot>,
    /// Every candidate heard of but this node.
    peers: BTreeMap<Fingerprint, Peer>,
    elected: bool,
    stuck: Option<Stuck>,
}

/// What is known of another candidate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Peer {
    candidate: Candidate,
    /// What it has told itself; `None` while only others speak of it.
    word: Option<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Word {
    expect: usize,
    /// Every candidate that it has ever told of.
    knows: BTreeSet<Fingerprint>,
    ballot: Option<Ballot>,
    /// It told two different ballots.
    broke_its_word: bool,
}

impl Forming {
    /// A node that knows of no other candidate. `persisted` is the ballot of an earlier start; a ballot that exists and
    /// cannot be read must stop the caller, never count as none.
    #[must_use]
    pub fn new(me: Candidate, expect: usize, persisted: Option<Ballot>) -> Self {
        Self { me, expect, ballot: persisted, peers: BTreeMap::new(), elected: false, stuck: None }
    }

    /// Reacts to one input.
    pub fn handle(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        let tell = match input {
            Input::Tick => Tell::All,
            Input::Heard { from, message } => self.hear(from, message),
        };
        let stuck = self.find_stuck();
        let cast = if stuck.is_none() { self.cast_if_ready() } else { None };
        actions.extend(cast.clone().map(Action::Persist));
        match (tell, cast) {
            (Tell::All, _) | (_, Some(_)) => actions.extend(self.peers.keys().map(|peer| self.tell(peer))),
            (Tell::One(peer), None) => actions.push(self.tell(&peer)),
            (Tell::Nobody, None) => {}
        }
        actions.extend(if stuck.is_none() { self.elect_if_unanimous() } else { None });
        actions.extend(self.note(stuck));
        actions
    }

    /// What this node tells now: also the answer to a node whose address it did not know.
    #[must_use]
    pub fn message(&self) -> Message {
        let others = self.peers.values().map(|peer| peer.candidate.clone());
        let candidates = std::iter::once(self.me.clone()).chain(others).collect();
        Message { expect: self.expect, candidates, ballot: self.ballot.clone() }
    }

    /// How far it is.
    #[must_use]
    pub fn status(&self) -> Status {
        let everybody = || self.candidates().map(describe).collect();
        match (&self.stuck, &self.ballot) {
            _ if self.elected => Status::Elected { lowest: self.lowest() },
            (Some(stuck), _) => Status::Stuck(stuck.clone()),
            (None, None) => Status::Gathering { expect: self.expect, heard: everybody() },
            (None, Some(_)) => {
                let silent = self.peers.values().filter(|peer| peer.ballot().is_none());
                let mut missing: Vec<_> = silent.map(|peer| describe(&peer.candidate)).collect();
                let unheard = self.ballot.iter().flat_map(Ballot::set).filter(|node| !self.knows(node));
                missing.extend(unheard.map(|node| format!("the node with the key {}", stuck::short(node))));
                Status::Voting { missing }
            }
        }
    }

    /// Takes in what a peer told; says who is to be told in turn.
    fn hear(&mut self, from: Fingerprint, message: Message) -> Tell {
        if from == self.me.fingerprint {
            return Tell::Nobody; // A node's list of seeds may well contain itself.
        }
        if let Err(error) = message.check(&from) {
            warn!(%from, %error, "a message about the forming of the cluster was refused");
            return Tell::Nobody;
        }
        let mut is_news = false;
        let knows: BTreeSet<_> = message.candidates.iter().map(|candidate| candidate.fingerprint).collect();
        for candidate in message.candidates {
            is_news |= self.meet(candidate, &from);
        }
        let lacks_some = self.candidates().any(|candidate| !knows.contains(&candidate.fingerprint));
        if let Some(peer) = self.peers.get_mut(&from) {
            is_news |= peer.listen(message.expect, knows, message.ballot);
        }
        match (is_news, lacks_some) {
            (true, _) => Tell::All,
            (false, true) => Tell::One(from),
            (false, false) => Tell::Nobody,
        }
    }

    /// Remembers a candidate; what it says about itself counts more than what others say. True if it is new.
    fn meet(&mut self, candidate: Candidate, said_by: &Fingerprint) -> bool {
        let fingerprint = candidate.fingerprint;
        if fingerprint == self.me.fingerprint {
            return false;
        }
        let is_full = self.peers.len() >= CANDIDATES_MAX;
        match self.peers.get_mut(&fingerprint) {
            Some(peer) if fingerprint == *said_by => peer.candidate = candidate,
            Some(_) => {}
            None if is_full => {}
            None => {
                self.peers.insert(fingerprint, Peer { candidate, word: None });
                return true;
            }
        }
        false
    }

    fn cast_if_ready(&mut self) -> Option<Ballot> {
        if self.ballot.is_some() || self.peers.len() + 1 != self.expect {
            return None;
        }
        let set: BTreeSet<_> = self.candidates().map(|candidate| candidate.fingerprint).collect();
        let all_know = self.peers.values().all(|peer| peer.word.as_ref().is_some_and(|word| word.knows == set));
        let ballot = all_know.then(|| Ballot::new(set))?.ok()?;
        self.ballot = Some(ballot.clone());
        Some(ballot)
    }

    fn elect_if_unanimous(&mut self) -> Option<Action> {
        let ballot = self.ballot.as_ref().filter(|_| !self.elected)?;
        let is_whole = self.peers.len() + 1 == ballot.set().len();
        if !is_whole || self.peers.values().any(|peer| peer.ballot() != Some(ballot)) {
            return None;
        }
        self.elected = true;
        let mut set: Vec<_> = self.candidates().cloned().collect();
        set.sort_by_key(|candidate| candidate.fingerprint);
        Some(Action::Elected { lowest: self.lowest(), set })
    }

    /// Remembers why nothing moves, and says so when the reason is a new one.
    fn note(&mut self, stuck: Option<Stuck>) -> Option<Action> {
        let stuck = stuck.filter(|_| !self.elected);
        let is_new = stuck != self.stuck;
        self.stuck.clone_from(&stuck);
        stuck.filter(|_| is_new).map(Action::Stuck)
    }

    fn tell(&self, to: &Fingerprint) -> Action {
        let addr = self.peers.get(to).map_or(self.me.addr, |peer| peer.candidate.addr);
        Action::Tell { to: *to, addr, message: self.message() }
    }

    fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        std::iter::once(&self.me).chain(self.peers.values().map(|peer| &peer.candidate))
    }

    fn knows(&self, fingerprint: &Fingerprint) -> bool {
        *fingerprint == self.me.fingerprint || self.peers.contains_key(fingerprint)
    }

    fn lowest(&self) -> Fingerprint {
        self.ballot.as_ref().map_or(self.me.fingerprint, Ballot::lowest)
    }
}

/// Who is to be told what this node knows.
enum Tell {
    Nobody,
    One(Fingerprint),
    All,
}

// === impl Peer ===

impl Peer {
    fn ballot(&self) -> Option<&Ballot> {
        self.word.as_ref().and_then(|word| word.ballot.as_ref())
    }

    /// True if the peer said something new that others may wait for.
    fn listen(&mut self, expect: usize, knows: BTreeSet<Fingerprint>, ballot: Option<Ballot>) -> bool {
        let word = self.word.get_or_insert_with(|| Word {
            expect,
            knows: BTreeSet::new(),
            ballot: None,
            broke_its_word: false,
        });
        word.expect = expect;
        let known_before = word.knows.len();
        word.knows.extend(knows);
        match (&word.ballot, ballot) {
            (None, told) => word.ballot = told,
            (Some(before), Some(now)) if *before != now => word.broke_its_word = true,
            // A message from before the ballot, or from after it: a ballot is never taken back.
            (Some(_), _) => {}
        }
        word.knows.len() > known_before
    }
}
