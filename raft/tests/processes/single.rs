//! A cluster of one node.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use identity::{ClusterId, Fingerprint, MemberRecord, NodeId};
use raft::{Channel, Command, FrameSink, FrameSource, Genesis, Proposal, Raft, RaftConfig, Wire, WireError};

pub(crate) const LONG: Duration = Duration::from_secs(15);

/// A network without peers.
pub(crate) struct Alone;

#[async_trait]
impl Wire for Alone {
    async fn open(&self, target: NodeId, _: Channel) -> Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), WireError> {
        Err(WireError::Unreachable { target, reason: "there is nobody".to_owned() })
    }
}

pub(crate) fn me() -> NodeId {
    NodeId::new(1).unwrap()
}

pub(crate) fn segment(name: &str) -> Command {
    let document = format!(
        r#"{{"apiVersion":"hedgerow/v1","kind":"Segment","metadata":{{"name":"{name}"}},"spec":{{"role":"backend","addresses":["10.1.0.0/16"]}}}}"#
    );
    Command::Apply { documents: vec![document], prune: false, expect: None, message: String::new() }
}

pub(crate) fn proposal(request_id: u128, command: Command) -> Proposal {
    Proposal { request_id, actor: "test".to_owned(), guard_basis: None, command }
}

/// Starts the one node of a cluster, and founds the cluster if it is new.
pub(crate) async fn single(dir: &Path, tune: impl FnOnce(&mut RaftConfig)) -> Raft {
    let mut config = RaftConfig::new(me(), dir);
    config.compaction.snapshot_entries = 100;
    config.compaction.keep_entries = 20;
    tune(&mut config);
    let raft = Raft::start(config, Arc::new(Alone)).await.unwrap();
    let record = MemberRecord {
        node: me(),
        name: "lb1".to_owned(),
        endpoint: "10.0.0.1:7400".parse().unwrap(),
        api: None,
        fingerprint: Fingerprint([1; 32]),
        addresses: Vec::new(),
        witness: false,
    };
    let genesis = Genesis { cluster: ClusterId::from_bytes([5; 16]), epoch: 1, ca_pem: String::new() };
    raft.initialise(vec![record], genesis, LONG).await.unwrap();
    raft
}
