//! Opening the store: everything in it is read and checked before the node says a word.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use identity::NodeId;
use redb::{Database, ReadableDatabase, ReadableTable};
use tokio::sync::mpsc;

use super::{
    Damage, Inner, LogStore,
    memory::{self, Memory},
    record::{self, Link},
    tables::{COMMITTED, ENTRIES, LAYOUT, META, NODE, PURGED, SEQUENCE, VOTE, read_value},
    watermark::Watermark,
    writer::{JOBS_MAX, Writer, put},
};
use crate::{
    codec,
    state::LogId,
    types::{Entry, Vote, entry_id},
};

const FILE: &str = "raft.redb";
const WATERMARK_FILE: &str = "raft.watermark";
/// The layout of the file; another number is another program.
const LAYOUT_NUMBER: u32 = 2;
/// Bytes of pages that redb keeps in memory.
const PAGE_CACHE_BYTES: usize = 16 << 20;

/// Why the store did not open. Nothing on disk has changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The disk, or the permission to use it.
    #[error("{} could not be opened: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("{} is in use by another process; stop that one first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is not whole.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// It belongs to another node.
    #[error("{} belongs to {found}, not to {me}; a directory belongs to one node for good", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// Who this is.
        me: NodeId,
        /// Whose it is.
        found: String,
    },
    /// It was written by another version.
    #[error(
        "{} has layout {found}, this version reads layout {LAYOUT_NUMBER}; nothing was changed: start the version that wrote it, \
         or set the state directory aside and let the node join anew", path.display()
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: u32,
    },
}

/// What was found in a whole store.
struct Found {
    memory: Memory,
    sequence: u64,
    head: Link,
    base: Link,
}

/// Opens the store of a node, or makes one, checks all of it, and starts its writer.
pub(crate) fn open(dir: &Path, me: NodeId) -> Result<LogStore, OpenError> {
    open_with(dir, me, open_file)
}

/// The same, on a file opened in another way.
pub(super) fn open_with(
    dir: &Path,
    me: NodeId,
    open_file: impl FnOnce(&Path) -> Result<Database, OpenError>,
) -> Result<LogStore, OpenError> {
    let path = dir.join(FILE);
    let io = |source| OpenError::Io { path: path.clone(), source };
    make_dir(dir).map_err(io)?;
    let (watermark, mark) = Watermark::open(&dir.join(WATERMARK_FILE)).map_err(io)?;
    let is_new = !path.exists();
    let damaged = |detail: String| OpenError::Damaged(Damage { path: path.clone(), detail });
    if let (true, Some(mark)) = (is_new, mark) {
        return Err(damaged(format!("the file is gone, but {mark} transactions were written to it")));
    }
    if is_new {
        make(&path, me)?;
    }
    // redb asserts what it assumes about its pages: on a damaged file it may panic instead of answering.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = open_file(&path)?;
        let found = scan(&path, &database, me)?;
        Ok::<_, OpenError>((database, found))
    }));
    let (database, found) = opened.unwrap_or_else(|_| Err(damaged("its pages do not fit together".to_owned())))?;
    if mark.is_some_and(|mark| found.sequence < mark) {
        let mark = mark.unwrap_or_default();
        return Err(damaged(format!(
            "it ends at transaction {}, but transaction {mark} was durable: the end of the log is lost",
            found.sequence
        )));
    }
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    start(path, database, watermark, found)
}

/// The directory is the service's alone: the key of the cluster's CA is in the log.
fn make_dir(dir: &Path) -> std::io::Result<()> {
    const OWNER_ONLY: u32 = 0o700;
    if !dir.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| parent.is_dir()) {
            fs::File::open(parent)?.sync_all()?;
        }
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(OWNER_ONLY))
}

fn open_file(path: &Path) -> Result<Database, OpenError> {
    let damaged = |detail: String| OpenError::Damaged(Damage { path: path.to_owned(), detail });
    Database::builder().set_cache_size(PAGE_CACHE_BYTES).create(path).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.to_owned() },
        redb::DatabaseError::Storage(redb::StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::InvalidData =>
        {
            OpenError::Io { path: path.to_owned(), source }
        }
        other => damaged(other.to_string()),
    })
}

/// Makes an empty store. It comes to its name when it is whole: a process that is killed while it makes it leaves nothing
/// that looks like a damaged one.
fn make(path: &Path, me: NodeId) -> Result<(), OpenError> {
    let beside = path.with_extension("new");
    let io = |source| OpenError::Io { path: beside.clone(), source };
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let database = open_file(&beside)?;
    initialise(&database, me).map_err(|error| io(std::io::Error::other(error)))?;
    drop(database);
    fs::rename(&beside, path).map_err(io)
}

fn initialise(database: &Database, me: NodeId) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        transaction.open_table(ENTRIES)?;
        let mut meta = transaction.open_table(META)?;
        put(&mut meta, LAYOUT, &LAYOUT_NUMBER)?;
        put(&mut meta, NODE, &me.get())?;
        put(&mut meta, SEQUENCE, &0u64)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Reads and checks everything.
fn scan(path: &Path, database: &Database, me: NodeId) -> Result<Found, OpenError> {
    let damaged = |detail: String| OpenError::Damaged(Damage { path: path.to_owned(), detail });
    let broken = |error: redb::Error| damaged(error.to_string());
    let read = database.begin_read().map_err(|error| broken(error.into()))?;
    let meta = read.open_table(META).map_err(|error| broken(error.into()))?;
    let value = |error: super::tables::MetaError| damaged(error.to_string());
    let layout: u32 = read_value(&meta, LAYOUT).map_err(value)?.unwrap_or(0);
    if layout != LAYOUT_NUMBER {
        return Err(OpenError::Layout { path: path.to_owned(), found: layout });
    }
    let node: u64 = read_value(&meta, NODE).map_err(value)?.unwrap_or(0);
    if node != me.get() {
        return Err(OpenError::OtherNode { path: path.to_owned(), me, found: format!("n{node}") });
    }
    let purged: Option<(LogId, Link)> = read_value(&meta, PURGED).map_err(value)?;
    let base = purged.map_or(Link::START, |(_, link)| link);
    let mut memory = Memory::default();
    memory.vote = read_value::<Vote>(&meta, VOTE).map_err(value)?;
    memory.purged = purged.map(|(at, _)| entry_id(at));
    memory.committed = read_value::<LogId>(&meta, COMMITTED).map_err(value)?.map(entry_id);
    memory.last = memory.purged;
    let sequence =
        read_value(&meta, SEQUENCE).map_err(value)?.ok_or_else(|| damaged("`sequence` is missing".to_owned()))?;
    let entries = read.open_table(ENTRIES).map_err(|error| broken(error.into()))?;
    let head = scan_entries(&entries, base, &mut memory).map_err(damaged)?;
    Ok(Found { memory, sequence, head, base })
}

fn scan_entries(
    entries: &impl ReadableTable<u64, &'static [u8]>,
    base: Link,
    memory: &mut Memory,
) -> Result<Link, String> {
    let mut head = base;
    for stored in entries.iter().map_err(|error| error.to_string())? {
        let (index, record) = stored.map_err(|error| error.to_string())?;
        let (index, expected) = (index.value(), memory.next_index());
        if index != expected {
            return Err(format!("entry {expected} is missing, entry {index} follows"));
        }
        let (link, body) = record::unseal_after(index, head, record.value()).map_err(|error| error.to_string())?;
        let entry: Entry = codec::decode(body).map_err(|error| format!("entry {index}: {error}"))?;
        if entry.log_id.index != index {
            return Err(format!("entry {index} says that it is entry {}", entry.log_id.index));
        }
        head = link;
        memory.durable = Some(index);
        memory.push(entry, body.len());
    }
    Ok(head)
}

fn start(path: PathBuf, database: Database, watermark: Watermark, found: Found) -> Result<LogStore, OpenError> {
    let database = Arc::new(database);
    let memory = Arc::new(Mutex::new(found.memory));
    let (jobs, receiver) = mpsc::channel(JOBS_MAX);
    let writer = Writer {
        database: Arc::clone(&database),
        memory: Arc::clone(&memory),
        watermark,
        path: path.clone(),
        sequence: found.sequence,
        last: memory::lock(&memory).durable,
        head: found.head,
        base: found.base,
    };
    let thread = std::thread::Builder::new()
        .name("raft-log".to_owned())
        .spawn(move || writer.run(receiver))
        .map_err(|source| OpenError::Io { path: path.clone(), source })?;
    let thread = Mutex::new(Some(thread));
    Ok(LogStore { inner: Arc::new(Inner { path, database, memory, jobs, thread }) })
}
