//! What a node looks after besides consensus: room on its disk, the length of its log, its last committed position.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{config::RaftConfig, handle::Raft};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// The room on the disk of the log, as it was at the last look. Clones share it.
#[derive(Clone)]
pub(crate) struct Disk {
    dir: PathBuf,
    reserve: u64,
    free: Arc<AtomicU64>,
}

impl Disk {
    pub(crate) fn new(config: &RaftConfig) -> Self {
        let disk =
            Self { dir: config.dir.clone(), reserve: config.disk_reserve_bytes, free: Arc::new(u64::MAX.into()) };
        disk.look();
        disk
    }

    /// Whether there is room to write; if not, a sentence that says so (G8).
    pub(crate) fn check(&self) -> Result<(), String> {
        let (free, needed) = (self.free.load(Ordering::Relaxed), self.reserve);
        if free >= needed {
            return Ok(());
        }
        let mebibytes = |bytes: u64| bytes >> 20;
        Err(format!(
            "the disk of {} is full: {} MiB are free, {} MiB are needed; make room, it goes on by itself",
            self.dir.display(),
            mebibytes(free),
            mebibytes(needed)
        ))
    }

    fn look(&self) {
        // A file system that does not tell is taken to have room: its own error will come.
        let free = rustix::fs::statvfs(&self.dir).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        let was_full = self.check().is_err();
        self.free.store(free, Ordering::Relaxed);
        match (was_full, self.check()) {
            (false, Err(reason)) => tracing::error!(reason, "no more writes"),
            (true, Ok(())) => tracing::info!("there is room on the disk again"),
            _ => {}
        }
    }
}

/// Runs until it is aborted, or the log has been closed.
pub(crate) async fn run(raft: Raft) {
    let mut snapshot_due = raft.config().compaction.snapshot_bytes;
    loop {
        tokio::time::sleep(INTERVAL).await;
        raft.disk().look();
        if raft.disk().check().is_err() {
            continue;
        }
        if raft.store().flush_committed().await.is_err() {
            return;
        }
        let appended = raft.store().appended_bytes();
        if appended >= snapshot_due {
            snapshot_due = appended + raft.config().compaction.snapshot_bytes;
            raft.snapshot().await;
        }
    }
}
