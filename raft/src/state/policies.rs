//! Revisions: what was applied, what is active, what can be rolled back to.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use identity::Digest;
use policy::{Document, Kind};

use super::{
    Aborted, Epoch, State,
    apply::{Moment, limit},
};
use crate::outcome::{Outcome, Refusal};

/// Revisions kept with their content, at most; older ones are compacted.
pub const HISTORY_REVISIONS_MAX: usize = 256;
/// Bytes of documents that the kept revisions add to one another, at most; older ones are compacted.
pub const HISTORY_BYTES_MAX: usize = 32 << 20;
/// Bytes of the documents of one revision, at most.
pub const REVISION_BYTES_MAX: usize = 32 << 20;

/// A revision: numbered, digested, with everything that it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionInfo {
    /// Its number; the first is 1 and there are no gaps.
    pub number: u64,
    /// The digest of its content.
    pub digest: Digest,
    /// Who made it.
    pub actor: String,
    /// When, in milliseconds since 1970, by the clock of the accepting node.
    pub at_ms: u64,
    /// Why.
    pub message: String,
    /// Where in the log.
    pub index: u64,
    /// The revision whose content this repeats, if it is a rollback.
    pub rollback_of: Option<u64>,
    /// Its documents in canonical JSON, by kind and name. Revisions share the texts that they have in common.
    pub texts: Vec<Arc<str>>,
    /// Bytes of texts that the revision before does not have.
    pub(super) added_bytes: usize,
}

impl RevisionInfo {
    /// The documents of this revision.
    ///
    /// # Errors
    /// A text that an older version accepted may be refused by this one.
    pub fn documents(&self) -> Result<Vec<Document>, String> {
        self.texts.iter().map(|text| parse(text)).collect()
    }
}

pub(super) fn parse(text: &str) -> Result<Document, String> {
    Document::from_json(text).map_err(|error| error.to_string())
}

/// Documents with their canonical texts, by kind and name.
type Texts = BTreeMap<(Kind, String), (Document, Arc<str>)>;

/// What tells documents of one revision apart, and their order.
fn key(document: &Document) -> (Kind, String) {
    (document.kind(), document.name.clone())
}

impl State {
    pub(super) fn apply_documents(
        &mut self,
        texts: &[String],
        prune: bool,
        expect: Option<u64>,
        message: &str,
        moment: Moment<'_>,
    ) -> Result<Outcome, Refusal> {
        self.check_expected(expect)?;
        let given = given_documents(texts)?;
        let mut merged = if prune { BTreeMap::new() } else { self.current_documents() };
        merged.extend(given);
        let (documents, texts): (Vec<Document>, Vec<Arc<str>>) = merged.into_values().unzip();
        self.add_revision(documents, texts, message.to_owned(), None, moment)
    }

    pub(super) fn roll_back(
        &mut self,
        to: u64,
        expect: Option<u64>,
        message: &str,
        moment: Moment<'_>,
    ) -> Result<Outcome, Refusal> {
        self.check_expected(expect)?;
        let (documents, texts) = if to == 0 {
            (Vec::new(), Vec::new())
        } else {
            let old = Arc::clone(self.known_revision(to)?);
            (old.documents().map_err(|error| Refusal::Invalid(vec![error]))?, old.texts.clone())
        };
        let message = if message.is_empty() { format!("rollback to revision {to}") } else { message.to_owned() };
        self.add_revision(documents, texts, message, Some(to), moment)
    }

    fn check_expected(&self, expect: Option<u64>) -> Result<(), Refusal> {
        match expect.filter(|expected| *expected != self.revision()) {
            Some(expected) => Err(Refusal::Conflict { expected, current: self.revision() }),
            None => Ok(()),
        }
    }

    pub(super) fn activate(&mut self, revision: u64, image: Digest, moment: Moment<'_>) -> Result<Outcome, Refusal> {
        self.check_not_older(revision)?;
        let outcome = |epoch| Outcome { revision: Some(revision), epoch: Some(epoch), ..Outcome::at(moment.index) };
        let epoch = match self.active {
            // The coordinator may propose the same activation again after a change of leader.
            Some(active) if active.revision == revision && active.image == image => return Ok(outcome(active.epoch)),
            Some(active) => active.epoch + 1,
            None => 1,
        };
        self.active = Some(Epoch { epoch, revision, image });
        Ok(outcome(epoch))
    }

    pub(super) fn abort(&mut self, revision: u64, reason: &str, moment: Moment<'_>) -> Result<Outcome, Refusal> {
        self.check_not_older(revision)?;
        self.aborted = Some(Arc::new(Aborted { revision, reason: reason.to_owned(), index: moment.index }));
        Ok(Outcome { revision: Some(revision), ..Outcome::at(moment.index) })
    }

    fn check_not_older(&self, revision: u64) -> Result<(), Refusal> {
        if revision == 0 || revision > self.revision() {
            return Err(Refusal::UnknownRevision { revision, newest: self.revision() });
        }
        match self.active {
            Some(active) if revision < active.revision => {
                Err(Refusal::OlderThanActive { revision, active: active.revision })
            }
            _ => Ok(()),
        }
    }

    fn known_revision(&self, revision: u64) -> Result<&Arc<RevisionInfo>, Refusal> {
        let newest = self.revision();
        if revision == 0 || revision > newest {
            return Err(Refusal::UnknownRevision { revision, newest });
        }
        let oldest = self.revisions.front().map_or(newest, |oldest| oldest.number);
        self.find_revision(revision).ok_or(Refusal::CompactedRevision { revision, oldest })
    }

    fn current_documents(&self) -> Texts {
        let texts = self.revisions.back().map(|newest| newest.texts.clone()).unwrap_or_default();
        self.documents.iter().cloned().zip(texts).map(|(document, text)| (key(&document), (document, text))).collect()
    }

    fn add_revision(
        &mut self,
        documents: Vec<Document>,
        texts: Vec<Arc<str>>,
        message: String,
        rollback_of: Option<u64>,
        moment: Moment<'_>,
    ) -> Result<Outcome, Refusal> {
        limit("bytes of a revision", texts.iter().map(|text| text.len()).sum(), REVISION_BYTES_MAX)?;
        policy::validate(&documents).map_err(|found| Refusal::Invalid(lines(&found.to_string())))?;
        let (number, digest) = (self.revision() + 1, policy::content_digest(&documents));
        let texts = self.share_texts(texts);
        let revision = RevisionInfo {
            number,
            digest,
            actor: moment.actor.to_owned(),
            at_ms: moment.at_ms,
            message,
            index: moment.index,
            rollback_of,
            added_bytes: self.added_bytes(&texts),
            texts,
        };
        let revisions = Arc::make_mut(&mut self.revisions);
        revisions.push_back(Arc::new(revision));
        let bytes = |kept: &Arc<RevisionInfo>| kept.added_bytes;
        let mut total: usize = revisions.iter().map(bytes).sum();
        while revisions.len() > HISTORY_REVISIONS_MAX || (total > HISTORY_BYTES_MAX && revisions.len() > 1) {
            total -= revisions.pop_front().as_ref().map_or(0, bytes);
        }
        self.documents = Arc::new(documents);
        Ok(Outcome { revision: Some(number), digest: Some(digest), ..Outcome::at(moment.index) })
    }

    /// The same texts, by the pointers of the newest revision where it has them.
    fn share_texts(&self, texts: Vec<Arc<str>>) -> Vec<Arc<str>> {
        let newest: HashSet<Arc<str>> = self.newest_texts().cloned().collect();
        texts.into_iter().map(|text| newest.get(&text).cloned().unwrap_or(text)).collect()
    }

    fn added_bytes(&self, texts: &[Arc<str>]) -> usize {
        let newest: HashSet<&Arc<str>> = self.newest_texts().collect();
        texts.iter().filter(|text| !newest.contains(text)).map(|text| text.len()).sum()
    }

    fn newest_texts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.revisions.back().into_iter().flat_map(|newest| newest.texts.iter())
    }
}

/// The documents of a proposal, canonical, each once.
fn given_documents(texts: &[String]) -> Result<Texts, Refusal> {
    let mut given = BTreeMap::new();
    let mut faults = Vec::new();
    for text in texts {
        let document = match parse(text) {
            Ok(document) => document,
            Err(error) => {
                faults.push(error);
                continue;
            }
        };
        let (key, canonical) = (key(&document), Arc::from(document.to_json()));
        let what = format!("{} `{}` is given twice; give it once", key.0, key.1);
        if given.insert(key, (document, canonical)).is_some() {
            faults.push(what);
        }
    }
    if faults.is_empty() { Ok(given) } else { Err(Refusal::Invalid(lines(&faults.join("\n")))) }
}

/// Findings as lines, so many and no more.
fn lines(text: &str) -> Vec<String> {
    const LINES_MAX: usize = 200;
    let mut lines: Vec<String> = text.lines().take(LINES_MAX).map(str::to_owned).collect();
    let left_out = text.lines().count().saturating_sub(LINES_MAX);
    if left_out > 0 {
        lines.push(format!("and {left_out} more"));
    }
    lines
}
