//! The store as openraft writes to it.

use std::io;

use openraft::{
    LogState, OptionalSend,
    storage::{IOFlushed, RaftLogStorage},
};
use tokio::sync::oneshot;

use super::{
    LogStore,
    record::HEADER_BYTES,
    writer::{self, Job},
};
use crate::{
    codec,
    types::{C, Entry, EntryId, Vote},
};

impl RaftLogStorage<C> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<C>, io::Error> {
        let memory = self.memory();
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, wait) = oneshot::channel();
        self.send(Job::Vote(*vote, done)).await?;
        wait.await.map_err(|_| writer::gone())?;
        self.memory().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<EntryId>) -> Result<(), io::Error> {
        let mut memory = self.memory();
        memory.committed_dirty |= memory.committed != committed;
        memory.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<EntryId>, io::Error> {
        Ok(self.memory().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        let mut cached = Vec::new();
        for entry in entries {
            let record = codec::encode_after(vec![0; HEADER_BYTES], &entry).map_err(io::Error::other)?;
            let bytes = record.len() - HEADER_BYTES;
            records.push((entry.log_id.index, record));
            cached.push((entry, bytes));
        }
        {
            let mut memory = self.memory();
            cached.into_iter().for_each(|(entry, bytes)| memory.push(entry, bytes));
        }
        self.send(Job::Append { records, callback }).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<EntryId>) -> Result<(), io::Error> {
        let (done, wait) = oneshot::channel();
        self.memory().truncate_after(last_log_id);
        self.send(Job::Truncate(last_log_id.map(|last| last.index), done)).await?;
        wait.await.map_err(|_| writer::gone())
    }

    async fn purge(&mut self, log_id: EntryId) -> Result<(), io::Error> {
        self.memory().purge(log_id);
        self.send(Job::Purge(log_id)).await
    }
}
