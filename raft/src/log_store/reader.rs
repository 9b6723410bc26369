//! Reading entries back: the newest from memory, older ones from disk, checked.

use std::{fmt::Debug, io, ops::Bound, ops::RangeBounds};

use openraft::{OptionalSend, RaftLogReader};
use redb::ReadableDatabase;

use super::{
    LogStore,
    memory::Cached,
    record::{self, Link},
    tables::ENTRIES,
};
use crate::{
    codec,
    types::{C, Entry, Vote},
};

/// Bytes of entries in one message to a follower, at most; a single larger entry travels alone.
const MESSAGE_ENTRY_BYTES_MAX: usize = 1 << 20;

impl LogStore {
    /// The entries of `from..to` that the log has, at most so many bytes of them, at least one.
    fn entries(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let (from, to, start, mut cached) = {
            let memory = self.memory();
            let (from, to) = (from.max(memory.first_index()), to.min(memory.next_index()));
            let start = memory.cache_start();
            let cached: Vec<Cached> = memory.cached(from.max(start), to).cloned().collect();
            (from, to, start, cached)
        };
        let mut found = if from < start { self.stored(from, to.min(start), bytes_max)? } else { Vec::new() };
        let complete = from + found.len() as u64 >= start.min(to);
        if complete {
            found.append(&mut cached);
        }
        let mut left = bytes_max;
        let fits = |(place, cached): &(usize, Cached)| {
            let fits = *place == 0 || cached.bytes <= left;
            left = left.saturating_sub(cached.bytes);
            fits
        };
        Ok(found.into_iter().enumerate().take_while(fits).map(|(_, cached)| cached.entry).collect())
    }

    fn stored(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Cached>> {
        let read = || -> Result<Vec<Cached>, redb::Error> {
            let mut found: Vec<Cached> = Vec::new();
            let mut previous: Option<Link> = None;
            let mut bytes = 0;
            for stored in self.inner.database.begin_read()?.open_table(ENTRIES)?.range(from..to)? {
                let (index, record) = stored?;
                let (index, record) = (index.value(), record.value());
                if index != from + found.len() as u64 {
                    return Err(redb::Error::Corrupted(format!("entry {} is missing", from + found.len() as u64)));
                }
                let corrupted = |error: record::RecordError| redb::Error::Corrupted(error.to_string());
                let (link, body) = match previous {
                    Some(previous) => record::unseal_after(index, previous, record).map_err(corrupted)?,
                    None => record::unseal(index, record).map_err(corrupted)?,
                };
                previous = Some(link);
                bytes += body.len();
                if bytes > bytes_max && !found.is_empty() {
                    return Ok(found);
                }
                let entry = codec::decode(body).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
                found.push(Cached { entry, bytes: body.len() });
            }
            Ok(found)
        };
        read().map_err(|error| io::Error::other(format!("{}: {error}", self.inner.path.display())))
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<C> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (from, to) = bounds(&range);
        self.entries(from, to, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.entries(start, end, MESSAGE_ENTRY_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.memory().vote)
    }
}
