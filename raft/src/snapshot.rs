//! Snapshots: the state as one file, and as what travels to a follower that is far behind.
//!
//! The file is `magic | header length | header | state | SHA-256 over all before`. It is written beside the old one,
//! synced, renamed over it, and the directory is synced: at any moment one whole snapshot is there.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::{codec, log_store::Damage, types::SnapshotMeta};

const FILE: &str = "raft.snapshot";
const NEW_FILE: &str = "raft.snapshot.new";
const MAGIC: &[u8; 8] = b"HRSNAP\x00\x01";
const LENGTH_BYTES: usize = 4;
const DIGEST_BYTES: usize = 32;

/// A snapshot as it lies on disk and in memory: an encoded [`crate::State`] and where it was taken.
#[derive(Clone)]
pub(crate) struct Stored {
    pub meta: SnapshotMeta,
    pub state: Arc<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    meta: SnapshotMeta,
}

/// The directory of the one snapshot. Clones share it.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    current: Mutex<Option<Stored>>,
    writing: Mutex<()>,
}

/// Why the snapshot on disk was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotOpenError {
    /// The disk, or the permission to use it.
    #[error("{} could not be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not whole.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

impl SnapshotStore {
    /// Reads the snapshot of a directory, if there is one, and checks it (G7).
    pub(crate) fn open(dir: &Path) -> Result<Self, SnapshotOpenError> {
        let path = dir.join(FILE);
        // What was being written when the process ended was never answered for.
        fs::remove_file(dir.join(NEW_FILE)).ok();
        let current = match fs::read(&path) {
            Ok(bytes) => Some(parse(&bytes).map_err(|detail| Damage { path, detail })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(SnapshotOpenError::Io { path, source }),
        };
        let inner = Inner { dir: dir.to_owned(), current: Mutex::new(current), writing: Mutex::new(()) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The snapshot, if there is one.
    pub(crate) fn current(&self) -> Option<Stored> {
        self.inner.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a snapshot durable and the current one, unless a newer one is there. Blocks on the disk.
    pub(crate) fn save(&self, snapshot: Stored) -> io::Result<()> {
        let _one_at_a_time = self.inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.current().is_some_and(|current| current.meta.last_log_id >= snapshot.meta.last_log_id) {
            return Ok(());
        }
        let (new, path) = (self.inner.dir.join(NEW_FILE), self.inner.dir.join(FILE));
        let mut file = File::create(&new)?;
        file.write_all(&image(&snapshot)?)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.inner.dir)?.sync_all()?;
        *self.inner.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        Ok(())
    }
}

fn image(snapshot: &Stored) -> io::Result<Vec<u8>> {
    let header = codec::encode(&Header { meta: snapshot.meta.clone() }).map_err(io::Error::other)?;
    let length = u32::try_from(header.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(MAGIC.len() + LENGTH_BYTES + header.len() + snapshot.state.len() + DIGEST_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&snapshot.state);
    let sum = digest(&SHA256, &bytes);
    bytes.extend_from_slice(sum.as_ref());
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Stored, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is not a snapshot")?;
    let (body, sum) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or("it is cut short")?;
    if digest(&SHA256, body).as_ref() != sum {
        return Err("its digest is wrong".to_owned());
    }
    let rest = &rest[..rest.len() - DIGEST_BYTES];
    let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or("it is cut short")?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|error| error.to_string())?;
    let (header, state) = rest.split_at_checked(length).ok_or("it is cut short")?;
    let header: Header = codec::decode(header).map_err(|error| error.to_string())?;
    Ok(Stored { meta: header.meta, state: Arc::new(state.to_vec()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{state::LogId, types::entry_id};

    fn at(index: u64) -> Stored {
        let last_log_id = Some(entry_id(LogId { term: 1, index }));
        let meta = SnapshotMeta { last_log_id, ..SnapshotMeta::default() };
        Stored { meta, state: Arc::new(vec![7; 1000]) }
    }

    #[test]
    fn the_newest_snapshot_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = SnapshotStore::open(dir.path()).unwrap();
        assert!(store.current().is_none());
        store.save(at(5)).unwrap();
        store.save(at(3)).unwrap();
        let current = SnapshotStore::open(dir.path()).unwrap().current().unwrap();
        assert_eq!(current.meta, at(5).meta);
        assert_eq!(current.state.len(), 1000);
    }

    // G7: no damaged snapshot is installed.
    #[test]
    fn a_damaged_snapshot_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        SnapshotStore::open(dir.path()).unwrap().save(at(5)).unwrap();
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for place in [0, 9, 20, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(matches!(SnapshotStore::open(dir.path()), Err(SnapshotOpenError::Damaged(_))));
        }
        fs::write(&path, &whole[..whole.len() - 10]).unwrap();
        assert!(matches!(SnapshotStore::open(dir.path()), Err(SnapshotOpenError::Damaged(_))));
    }
}
