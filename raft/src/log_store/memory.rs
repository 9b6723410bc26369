//! What the store knows without asking the disk: its edges, the vote, and the newest entries.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::types::{Entry, EntryId, Vote};

/// Entries kept in memory once they are on disk, at most.
const CACHE_ENTRIES_MAX: usize = 4096;
/// Bytes of entries kept in memory once they are on disk, at most.
const CACHE_BYTES_MAX: usize = 32 << 20;

/// An entry and its encoded size.
#[derive(Clone)]
pub(super) struct Cached {
    pub entry: Entry,
    pub bytes: usize,
}

#[derive(Default)]
pub(super) struct Memory {
    pub vote: Option<Vote>,
    pub purged: Option<EntryId>,
    pub last: Option<EntryId>,
    pub committed: Option<EntryId>,
    /// Whether `committed` has moved since it was last written.
    pub committed_dirty: bool,
    /// Every entry up to this index is on disk.
    pub durable: Option<u64>,
    /// Bytes of entries that were pushed.
    pub appended_bytes: u64,
    /// The index of the first entry of all; 0 except in openraft's suite.
    begin: u64,
    cache: VecDeque<Cached>,
    cache_bytes: usize,
}

pub(super) fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    // Nothing in here panics half-way: a poisoned lock still guards consistent values.
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// The index of the first entry in memory, or the one after the last entry.
    pub(super) fn cache_start(&self) -> u64 {
        self.cache.front().map_or_else(|| self.next_index(), |first| first.entry.log_id.index)
    }

    pub(super) fn next_index(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.index + 1)
    }

    pub(super) fn first_index(&self) -> u64 {
        self.purged.as_ref().map_or(self.begin, |purged| purged.index + 1)
    }

    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        if self.last.is_none() {
            self.begin = entry.log_id.index;
        }
        self.last = Some(entry.log_id);
        self.cache_bytes += bytes;
        self.appended_bytes += bytes as u64;
        self.cache.push_back(Cached { entry, bytes });
        self.evict();
    }

    /// Forgets the oldest entries above the limits. One that is not on disk yet can be read nowhere else, and stays.
    pub(super) fn evict(&mut self) {
        while self.cache.len() > CACHE_ENTRIES_MAX || self.cache_bytes > CACHE_BYTES_MAX {
            match self.cache.front() {
                Some(first) if Some(first.entry.log_id.index) <= self.durable => {
                    self.cache_bytes -= first.bytes;
                    self.cache.pop_front();
                }
                _ => return,
            }
        }
    }

    pub(super) fn cached(&self, from: u64, to: u64) -> impl Iterator<Item = &Cached> {
        let start = self.cache_start();
        let place =
            |index: u64| usize::try_from(index.saturating_sub(start)).unwrap_or(usize::MAX).min(self.cache.len());
        self.cache.range(place(from)..place(to).max(place(from)))
    }

    /// Forgets every entry after `last`.
    pub(super) fn truncate_after(&mut self, last: Option<EntryId>) {
        let last = last.max(self.purged);
        if last >= self.last {
            return;
        }
        while self.cache.back().is_some_and(|newest| Some(newest.entry.log_id.index) > last.map(|last| last.index)) {
            self.cache_bytes -= self.cache.pop_back().map_or(0, |newest| newest.bytes);
        }
        self.last = last;
        self.durable = self.durable.min(last.map(|last| last.index));
    }

    /// Forgets every entry up to `upto`, which may be beyond the last.
    pub(super) fn purge(&mut self, upto: EntryId) {
        while self.cache.front().is_some_and(|oldest| oldest.entry.log_id.index <= upto.index) {
            self.cache_bytes -= self.cache.pop_front().map_or(0, |oldest| oldest.bytes);
        }
        self.purged = self.purged.max(Some(upto));
        self.last = self.last.max(Some(upto));
    }
}
