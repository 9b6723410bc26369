//! The durable log and vote.
//!
//! One redb file holds the entries, the vote, and where the log begins. All writes go through one thread
//! ([`writer`]) that takes what has piled up, writes it in one transaction, waits until it is on disk, and only then
//! answers for it (G4). Every entry carries a checksum and a link to the entry before ([`record`]); all of them are
//! checked when the store is opened ([`open`]), and a store that is not whole is not opened (G7).

mod memory;
mod open;
mod reader;
mod record;
mod storage;
mod tables;
#[cfg(test)]
mod tests;
mod watermark;
mod writer;

use std::{path::PathBuf, sync::Arc};

use tokio::sync::mpsc;

pub(crate) use open::{OpenError, open};
pub use writer::EXIT_STORAGE_FAILED;

use self::{memory::Memory, writer::Job};

/// What is wrong with the log on disk. The node must not start with it: it would vote with a log that is not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is damaged: {detail}; the node does not start, because it would vote with a log that is not whole; \
     remove it from the cluster and let it join again as a new node, with an empty directory", path.display()
)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What was found, and where.
    pub detail: String,
}

/// The open log. Clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    database: Arc<redb::Database>,
    memory: Arc<std::sync::Mutex<Memory>>,
    jobs: mpsc::Sender<Job>,
    thread: std::sync::Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl LogStore {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        memory::lock(&self.inner.memory)
    }

    /// Bytes of entries appended since the process began.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.memory().appended_bytes
    }

    /// Makes what was written so far durable, also the committed position, which otherwise follows with the next entry.
    pub(crate) async fn flush(&self) -> std::io::Result<()> {
        let (done, wait) = tokio::sync::oneshot::channel();
        self.send(Job::Flush(done)).await?;
        wait.await.map_err(|_| writer::gone())
    }

    /// Makes the committed position durable, if it has moved since it last was.
    pub(crate) async fn flush_committed(&self) -> std::io::Result<()> {
        if self.memory().committed_dirty {
            self.flush().await?;
        }
        Ok(())
    }

    /// Ends the writer and closes the file.
    pub(crate) async fn close(&self) -> std::io::Result<()> {
        self.flush().await?;
        let (done, wait) = tokio::sync::oneshot::channel();
        self.send(Job::Close(done)).await?;
        wait.await.map_err(|_| writer::gone())?;
        let thread = self.inner.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            tokio::task::spawn_blocking(move || thread.join()).await.ok();
        }
        Ok(())
    }

    async fn send(&self, job: Job) -> std::io::Result<()> {
        self.inner.jobs.send(job).await.map_err(|_| writer::gone())
    }
}
