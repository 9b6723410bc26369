//! The one thread that writes.
//!
//! It takes everything that has piled up while the last transaction was being synced, writes it in one transaction in
//! the order in which it was asked, waits for the disk, and answers. Under load many entries share one sync; alone, an
//! entry waits for nothing.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use openraft::storage::IOFlushed;
use redb::{Database, Durability, ReadableTable, Table};
use tokio::sync::{mpsc, oneshot};

use super::{
    memory::{self, Memory},
    record::{self, Link},
    tables::{COMMITTED, ENTRIES, META, PURGED, SEQUENCE, VOTE, seal_value},
    watermark::Watermark,
};
use crate::types::{C, EntryId, Vote, log_id};

/// The exit code of a process whose log could not be written: `EX_IOERR` of sysexits.h.
pub const EXIT_STORAGE_FAILED: i32 = 74;

/// Jobs waiting for the thread, at most; whoever has one more waits.
pub(super) const JOBS_MAX: usize = 4096;
/// Jobs in one transaction, at most.
const JOBS_PER_TRANSACTION_MAX: usize = 1024;

pub(super) type Done = oneshot::Sender<()>;

/// What the thread is asked to do. An answer means: on disk.
pub(super) enum Job {
    /// Records with their header still free, by index.
    Append {
        records: Vec<(u64, Vec<u8>)>,
        callback: IOFlushed<C>,
    },
    Vote(Vote, Done),
    /// Removes everything after the index, or everything.
    Truncate(Option<u64>, Done),
    /// Removes everything up to the entry.
    Purge(EntryId),
    Flush(Done),
    Close(Done),
}

/// What is answered once the transaction is on disk.
enum Answer {
    Callback(IOFlushed<C>),
    Done(Done),
}

pub(super) struct Writer {
    pub database: Arc<Database>,
    pub memory: Arc<Mutex<Memory>>,
    pub watermark: Watermark,
    pub path: PathBuf,
    /// The number of the last transaction.
    pub sequence: u64,
    /// The index of the last entry.
    pub last: Option<u64>,
    /// The link of the last entry.
    pub head: Link,
    /// The link of the last purged entry.
    pub base: Link,
}

/// The answer when the thread has ended.
pub(super) fn gone() -> io::Error {
    io::Error::other("the writer of the log has ended; the node is shutting down")
}

impl Writer {
    /// Runs until it is told to close, or nobody is left to tell it.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::new();
        while jobs.blocking_recv_many(&mut batch, JOBS_PER_TRANSACTION_MAX) > 0 {
            let closing = batch.iter().any(|job| matches!(job, Job::Close(_)));
            match self.write(&mut batch) {
                Ok(answers) => answer(answers),
                Err(error) => self.die(&error),
            }
            if closing {
                return;
            }
        }
    }

    /// A write that failed leaves the disk in doubt: after a failed sync the kernel may call lost pages clean. The
    /// process ends without answering, and finds out what is there when it starts again (G4).
    fn die(&self, error: &redb::Error) -> ! {
        tracing::error!(path = %self.path.display(), %error, "the log could not be written; the process ends now");
        std::process::exit(EXIT_STORAGE_FAILED)
    }

    fn write(&mut self, batch: &mut Vec<Job>) -> Result<Vec<Answer>, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate).map_err(|error| redb::Error::Io(io::Error::other(error)))?;
        let mut answers = Vec::with_capacity(batch.len());
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            let mut meta = transaction.open_table(META)?;
            for job in batch.drain(..) {
                answers.extend(self.execute(job, &mut entries, &mut meta)?);
            }
            self.write_committed(&mut meta)?;
            self.sequence += 1;
            put(&mut meta, SEQUENCE, &self.sequence)?;
        }
        transaction.commit()?;
        self.watermark.raise(self.sequence).map_err(redb::Error::Io)?;
        let mut memory = memory::lock(&self.memory);
        memory.durable = self.last;
        memory.evict();
        Ok(answers)
    }

    fn execute(
        &mut self,
        job: Job,
        entries: &mut Entries<'_>,
        meta: &mut Meta<'_>,
    ) -> Result<Option<Answer>, redb::Error> {
        Ok(match job {
            Job::Append { records, callback } => {
                for (index, mut record) in records {
                    self.head = record::seal(index, self.head, &mut record);
                    entries.insert(index, record.as_slice())?;
                    self.last = Some(index);
                }
                Some(Answer::Callback(callback))
            }
            Job::Vote(vote, done) => {
                put(meta, VOTE, &vote)?;
                Some(Answer::Done(done))
            }
            Job::Truncate(last, done) if last >= self.last => Some(Answer::Done(done)),
            Job::Truncate(last, done) => {
                let from = last.map_or(0, |last| last + 1);
                entries.retain_in(from.., |_, _| false)?;
                self.head = self.link_at(last, entries)?;
                self.last = last;
                Some(Answer::Done(done))
            }
            Job::Purge(upto) => {
                self.purge(upto, entries, meta)?;
                None
            }
            Job::Flush(done) | Job::Close(done) => Some(Answer::Done(done)),
        })
    }

    /// The link of an entry; of the last purged one when there is no such entry.
    fn link_at(&self, index: Option<u64>, entries: &Entries<'_>) -> Result<Link, redb::Error> {
        let Some(index) = index else { return Ok(self.base) };
        let Some(stored) = entries.get(index)? else { return Ok(self.base) };
        let (link, _) =
            record::unseal(index, stored.value()).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        Ok(link)
    }

    fn purge(&mut self, upto: EntryId, entries: &mut Entries<'_>, meta: &mut Meta<'_>) -> Result<(), redb::Error> {
        let at = log_id(&upto);
        let has_it = entries.get(upto.index)?.is_some();
        self.base = if has_it { self.link_at(Some(upto.index), entries)? } else { Link::rebased(at) };
        entries.retain_in(..=upto.index, |_, _| false)?;
        if entries.last()?.is_none() {
            self.head = self.base;
        }
        put(meta, PURGED, &(at, self.base))
    }

    /// The committed position travels with whatever is written next: it is never ahead of the entries, and it costs
    /// no sync of its own.
    fn write_committed(&self, meta: &mut Meta<'_>) -> Result<(), redb::Error> {
        let committed = {
            let mut memory = memory::lock(&self.memory);
            std::mem::take(&mut memory.committed_dirty).then_some(memory.committed)
        };
        match committed {
            Some(Some(committed)) => put(meta, COMMITTED, &log_id(&committed)),
            _ => Ok(()),
        }
    }
}

type Entries<'txn> = Table<'txn, u64, &'static [u8]>;
type Meta<'txn> = Table<'txn, &'static str, &'static [u8]>;

pub(super) fn put<T: serde::Serialize>(meta: &mut Meta<'_>, key: &'static str, value: &T) -> Result<(), redb::Error> {
    let bytes = seal_value(key, value).map_err(|error| redb::Error::Io(io::Error::other(error)))?;
    meta.insert(key, bytes.as_slice())?;
    Ok(())
}

fn answer(answers: Vec<Answer>) {
    for answer in answers {
        match answer {
            Answer::Callback(callback) => callback.io_completed(Ok(())),
            // Whoever asked may have gone: then nobody wants the answer.
            Answer::Done(done) => drop(done.send(())),
        }
    }
}
