//! The store against openraft's suite, against crashes and against damage.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use identity::NodeId;
use openraft::{
    RaftLogReader, StorageError,
    storage::{IOFlushed, RaftLogStorage, RaftLogStorageExt},
    testing::log::{StoreBuilder, Suite},
};
use redb::ReadableTable;
use tempfile::TempDir;
use tokio::sync::watch;

use super::{LogStore, OpenError, open, tables::ENTRIES};
use crate::{
    command::{Command, Proposal, Stamped},
    snapshot::SnapshotStore,
    state::{LogId, State},
    state_machine::Machine,
    types::{C, Entry, EntryId, Vote, entry_id},
};

fn me() -> NodeId {
    NodeId::new(1).unwrap()
}

fn at(term: u64, index: u64) -> EntryId {
    entry_id(LogId { term, index })
}

fn entry(term: u64, index: u64) -> Entry {
    let command = Command::Rollback { to: index, expect: None, message: String::new() };
    let proposal = Proposal { request_id: index.into(), actor: "test".to_owned(), guard_basis: None, command };
    let payload = openraft::EntryPayload::Normal(Arc::new(Stamped { proposal, at_ms: index }));
    Entry { log_id: at(term, index), payload }
}

fn vote(term: u64) -> Vote {
    Vote { leader_id: openraft::vote::RaftLeaderId::new(term, 1), committed: true }
}

/// Opens again what another owner may just be letting go of.
fn reopen(dir: &Path) -> Result<LogStore, OpenError> {
    for _ in 0..200 {
        match open(dir, me()) {
            Err(OpenError::InUse { .. }) => std::thread::sleep(std::time::Duration::from_millis(5)),
            other => return other,
        }
    }
    open(dir, me())
}

async fn filled(dir: &Path, entries: std::ops::Range<u64>) -> LogStore {
    let mut store = open(dir, me()).unwrap();
    store.save_vote(&vote(3)).await.unwrap();
    store.blocking_append(entries.map(|index| entry(3, index))).await.unwrap();
    store
}

/// Closes the file before it returns, which dropping does not.
async fn close(store: LogStore) {
    store.close().await.unwrap();
}

async fn all(store: &mut LogStore) -> Vec<String> {
    store.try_get_log_entries(..).await.unwrap().iter().map(|entry| format!("{entry:?}")).collect()
}

fn damage_of(result: Result<LogStore, OpenError>) -> String {
    match result {
        Err(OpenError::Damaged(damage)) => damage.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("damage was not noticed"),
    }
}

struct Builder;

impl StoreBuilder<C, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<C>> {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), me()).unwrap();
        let (publish, _) = watch::channel(Arc::new(State::default()));
        let machine = Machine::new(SnapshotStore::open(dir.path()).unwrap(), publish);
        Ok((dir, store, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}

// G4: what was answered for is there after a crash, the vote too.
#[tokio::test]
async fn answered_entries_and_votes_survive_being_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 0..300).await;
    store.save_committed(Some(at(3, 250))).await.unwrap();
    store.blocking_append([entry(3, 300)]).await.unwrap();
    let before = all(&mut store).await;
    drop(store);
    let mut store = reopen(dir.path()).unwrap();
    assert_eq!(all(&mut store).await, before);
    assert_eq!(store.read_vote().await.unwrap(), Some(vote(3)));
    assert_eq!(store.read_committed().await.unwrap(), Some(at(3, 250)));
}

#[tokio::test]
async fn the_committed_position_is_flushed_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 0..3).await;
    store.save_committed(Some(at(3, 2))).await.unwrap();
    store.flush_committed().await.unwrap();
    drop(store);
    assert_eq!(reopen(dir.path()).unwrap().read_committed().await.unwrap(), Some(at(3, 2)));
}

#[tokio::test]
async fn the_chain_goes_on_after_truncation_and_purge() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 0..100).await;
    store.truncate_after(Some(at(3, 49))).await.unwrap();
    store.blocking_append((50..60).map(|index| entry(4, index))).await.unwrap();
    store.purge(at(3, 20)).await.unwrap();
    store.blocking_append([entry(4, 60)]).await.unwrap();
    let before = all(&mut store).await;
    assert_eq!(before.len(), 40);
    store.close().await.unwrap();
    drop(store);
    let mut store = reopen(dir.path()).unwrap();
    assert_eq!(all(&mut store).await, before);
    let state = store.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(at(3, 20)), Some(at(4, 60))));
}

#[tokio::test]
async fn a_snapshot_beyond_the_log_begins_a_new_chain() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 0..10).await;
    store.purge(at(5, 500)).await.unwrap();
    store.blocking_append([entry(5, 501), entry(5, 502)]).await.unwrap();
    drop(store);
    let mut store = reopen(dir.path()).unwrap();
    assert_eq!(all(&mut store).await.len(), 2);
}

// Entries that have left the cache are read from disk, checked, and join those in the cache without a gap.
#[tokio::test]
async fn entries_older_than_the_cache_are_read_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 0..3000).await;
    store.blocking_append((3000..6000).map(|index| entry(3, index))).await.unwrap();
    store.blocking_append((6000..6010).map(|index| entry(3, index))).await.unwrap();
    assert!(store.memory().cache_start() > 1000);
    let indexes: Vec<u64> =
        store.try_get_log_entries(10..6005).await.unwrap().iter().map(|entry| entry.log_id.index).collect();
    assert_eq!(indexes, (10..6005).collect::<Vec<_>>());
    let limited = store.limited_get_log_entries(10, 6005).await.unwrap();
    assert_eq!(limited[0].log_id.index, 10);
}

// G7: an entry that was changed on disk is noticed when the store is opened, and named.
#[tokio::test]
async fn a_changed_entry_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 0..50).await);
    drop(reopen(dir.path()).unwrap());
    edit(dir.path(), |entries| {
        let mut record = entries.get(30).unwrap().unwrap().value().to_vec();
        *record.last_mut().unwrap() ^= 1;
        entries.insert(30, record.as_slice()).unwrap();
    });
    let text = damage_of(reopen(dir.path()));
    assert!(text.contains("the checksum of entry 30 is wrong"), "{text}");
    assert!(text.contains("would vote with a log that is not whole"), "{text}");
}

// G7: an entry that is missing, or that stands where another was, is noticed.
#[tokio::test]
async fn a_missing_or_exchanged_entry_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 0..50).await);
    drop(reopen(dir.path()).unwrap());
    edit(dir.path(), |entries| drop(entries.remove(30).unwrap()));
    assert!(damage_of(reopen(dir.path())).contains("entry 30 is missing, entry 31 follows"));

    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    drop(filled(dir.path(), 0..50).await);
    drop(filled(other.path(), 1..50).await);
    let mut foreign = Vec::new();
    drop(reopen(dir.path()).unwrap());
    edit(other.path(), |entries| foreign = entries.get(30).unwrap().unwrap().value().to_vec());
    edit(dir.path(), |entries| drop(entries.insert(30, foreign.as_slice()).unwrap()));
    assert!(damage_of(reopen(dir.path())).contains("entry 30 does not follow"));
}

// G7: redb falls back to the transaction before when the last one is not whole. Where the last one was answered for,
// that is a shortened log, and must not go unnoticed.
#[tokio::test]
async fn a_log_that_lost_its_end_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    close(filled(dir.path(), 0..50).await).await;
    let file = dir.path().join("raft.redb");
    let old = std::fs::read(&file).unwrap();
    let mut store = open(dir.path(), me()).unwrap();
    store.blocking_append([entry(3, 50)]).await.unwrap();
    close(store).await;
    std::fs::write(&file, &old).unwrap();
    let text = damage_of(open(dir.path(), me()));
    assert!(text.contains("the end of the log is lost"), "{text}");
    std::fs::remove_file(&file).unwrap();
    assert!(damage_of(open(dir.path(), me())).contains("the file is gone"));
}

/// A store of twenty entries that has been closed.
struct Closed {
    dir: TempDir,
    watermark: PathBuf,
    /// The bytes of the file.
    whole: Vec<u8>,
    /// What it holds.
    expected: Vec<String>,
}

async fn closed() -> Closed {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 0..20).await;
    let expected = all(&mut store).await;
    close(store).await;
    let whole = std::fs::read(dir.path().join("raft.redb")).unwrap();
    Closed { watermark: dir.path().join("raft.watermark"), dir, whole, expected }
}

/// Opens a store of these bytes, and says whether it is exactly the one expected.
async fn opens_as(bytes: &[u8], watermark: &Path, expected: &[String]) -> Result<bool, OpenError> {
    let copy = tempfile::tempdir().unwrap();
    std::fs::write(copy.path().join("raft.redb"), bytes).unwrap();
    std::fs::copy(watermark, copy.path().join("raft.watermark")).unwrap();
    let mut store = open(copy.path(), me())?;
    Ok(all(&mut store).await == expected && store.read_vote().await.unwrap() == Some(vote(3)))
}

// G7: whatever byte of the file rots, the node either refuses to start or has exactly what it had.
#[tokio::test]
async fn a_rotten_byte_never_changes_the_log() {
    let Closed { dir: _dir, watermark, whole, expected } = closed().await;
    let used: Vec<usize> = (0..whole.len()).filter(|place| whole[*place] != 0).collect();
    for step in 0..80 {
        let place = used[step * used.len() / 80];
        let mut bytes = whole.clone();
        bytes[place] ^= 0x40;
        if let Ok(same) = opens_as(&bytes, &watermark, &expected).await {
            assert!(same, "byte {place}");
        }
    }
}

// G7: the same where it hurts: one bit of an entry or of the vote, in every copy that the file has of it.
#[tokio::test]
async fn a_rotten_bit_of_an_entry_or_vote_is_refused() {
    let Closed { dir: _dir, watermark, whole, expected } = closed().await;
    let entry = crate::codec::encode(&entry(3, 11)).unwrap();
    let vote = super::tables::seal_value(super::tables::VOTE, &vote(3)).unwrap();
    for needle in [entry, vote] {
        let mut bytes = whole.clone();
        let places: Vec<usize> =
            (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(&needle)).collect();
        assert!(!places.is_empty());
        for place in places {
            bytes[place + needle.len() - 1] ^= 1;
        }
        let opened = opens_as(&bytes, &watermark, &expected).await;
        assert!(matches!(opened, Err(OpenError::Damaged(_))), "{opened:?}");
    }
}

#[tokio::test]
async fn a_directory_belongs_to_one_node_and_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), 0..5).await;
    assert!(matches!(open(dir.path(), me()), Err(OpenError::InUse { .. })));
    store.close().await.unwrap();
    drop(store);
    drop(reopen(dir.path()).unwrap());
    let other = NodeId::new(2).unwrap();
    let error = loop {
        match open(dir.path(), other) {
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            Err(error) => break error,
            Ok(_) => panic!("a foreign directory was opened"),
        }
    };
    assert!(error.to_string().contains("belongs to n1, not to n2"), "{error}");
}

// The key of the CA is in the log.
#[tokio::test]
async fn only_the_service_can_read_the_directory() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("state/raft");
    close(filled(&below, 0..5).await).await;
    assert_eq!(std::fs::metadata(&below).unwrap().permissions().mode() & 0o777, 0o700);
}

// Under load many appends share one transaction, and each is answered.
#[tokio::test]
async fn appends_that_pile_up_are_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), me()).unwrap();
    let mut waits = Vec::new();
    for index in 0..500 {
        let (sender, answered) = tokio::sync::oneshot::channel();
        let sender = openraft_signal(sender);
        store.append([entry(1, index)], sender).await.unwrap();
        waits.push(answered);
    }
    for answered in waits {
        answered.await.unwrap().unwrap();
    }
    drop(store);
    assert_eq!(all(&mut reopen(dir.path()).unwrap()).await.len(), 500);
}

type Answered = tokio::sync::oneshot::Sender<Result<(), std::io::Error>>;

/// A callback that tells a tokio channel.
fn openraft_signal(sender: Answered) -> IOFlushed<C> {
    use openraft::type_config::TypeConfigExt;
    let (signal, wait) = C::oneshot();
    tokio::spawn(async move { sender.send(wait.await.unwrap()).ok() });
    IOFlushed::signal(signal)
}

/// Changes entries behind the store's back.
fn edit(dir: &Path, change: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>)) {
    let database = loop {
        match redb::Database::open(dir.join("raft.redb")) {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    let transaction = database.begin_write().unwrap();
    change(&mut transaction.open_table(ENTRIES).unwrap());
    transaction.commit().unwrap();
}

/// Who is killed while it makes its first file leaves a part of it under another name. That is no damage: nothing was
/// answered for.
#[tokio::test]
async fn a_file_that_was_half_made_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("raft.new"), [0; 100]).unwrap();
    let store = filled(dir.path(), 0..3).await;
    assert!(!dir.path().join("raft.new").exists());
    drop(store);
    let mut store = reopen(dir.path()).unwrap();
    assert_eq!(store.get_log_state().await.unwrap().last_log_id, Some(at(3, 2)));
}

const CHILD: &str = "HEDGEROW_RAFT_FAILING_DISK";

/// A file whose syncs fail after a while.
#[derive(Debug)]
struct FailingDisk {
    file: redb::backends::FileBackend,
    syncs_left: std::sync::atomic::AtomicU32,
}

impl redb::StorageBackend for FailingDisk {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        if self.syncs_left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 0 {
            return Err(std::io::Error::other("the disk says no"));
        }
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.file.write(offset, data)
    }
}

/// Runs as a process of its own: appends until the disk fails, and says what was answered.
#[tokio::test]
async fn child_with_a_failing_disk() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let mut store = open::open_with(Path::new(&dir), me(), |path| {
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        let file = redb::backends::FileBackend::new(file).unwrap();
        let disk = FailingDisk { file, syncs_left: 12.into() };
        Ok(redb::Database::builder().create_with_backend(disk).unwrap())
    })
    .unwrap();
    for index in 0.. {
        store.blocking_append([entry(1, index)]).await.unwrap();
        println!("answered {index}");
    }
}

// G4: a sync that fails ends the process, at once and without an answer; what was answered for is there afterwards.
#[tokio::test]
async fn a_failed_sync_ends_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log_store::tests::child_with_a_failing_disk", "--nocapture"])
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(super::EXIT_STORAGE_FAILED), "{output:?}");
    let answered = String::from_utf8_lossy(&output.stdout).matches("answered ").count();
    assert!((1..12).contains(&answered), "{answered} answers");
    let mut store = open(dir.path(), me()).unwrap();
    assert!(all(&mut store).await.len() >= answered);
}
