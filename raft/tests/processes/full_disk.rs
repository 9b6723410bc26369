//! Disks without room.

use std::{process::Command as Process, sync::Arc, time::Duration};

use raft::{Raft, RaftConfig, WriteError};

use crate::single::{Alone, LONG, me, proposal, segment, single};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    single(dir.path(), |_| {}).await.shutdown().await.unwrap();
    let full = {
        let mut config = RaftConfig::new(me(), dir.path());
        config.disk_reserve_bytes = u64::MAX;
        Raft::start(config, Arc::new(Alone)).await.unwrap()
    };
    let error = full.write(proposal(1, segment("a")), Duration::from_millis(900)).await.unwrap_err();
    assert!(matches!(error, WriteError::Unavailable { may_have_committed: false, .. }), "{error}");
    assert!(error.to_string().contains("is full") && error.to_string().contains("make room"), "{error}");
    assert!(full.read(LONG).await.unwrap().is_founded(), "reads go on");
    full.shutdown().await.unwrap();
}

/// A small file system of its own, gone when the test is.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(mebibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted =
            Process::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output().ok()?;
        mounted.status.success().then_some(Self(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        Process::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

// G8: disk full is an error, not an end; when there is room again it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_when_there_is_room_again() {
    let Some(disk) = Tmpfs::mount(64) else {
        println!("skipped: needs root");
        return;
    };
    let raft = single(&disk.0.path().join("raft"), |config| config.disk_reserve_bytes = 16 << 20).await;
    raft.write(proposal(1, segment("before")), LONG).await.unwrap();
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 50 << 20]).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let error = raft.write(proposal(2, segment("during")), Duration::from_millis(300)).await.unwrap_err();
    assert!(error.to_string().contains("is full"), "{error}");
    std::fs::remove_file(&ballast).unwrap();
    raft.write(proposal(3, segment("after")), LONG).await.unwrap();
    assert_eq!(raft.read(LONG).await.unwrap().revision(), 2);
    raft.shutdown().await.unwrap();
}
