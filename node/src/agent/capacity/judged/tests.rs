use std::sync::{
    Arc, Barrier,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use identity::{ClusterId, Digest, NodeId, Role};
use policy::LocalInterface;
use raft::{Channel, FrameSink, FrameSource, Genesis, RaftConfig, TokenRecord, Wire, WireError};

use super::{
    super::{
        Capacity, channels,
        tests::{channel, newcomer, node},
    },
    *,
};

/// How long anything may take here, at most.
const LONG: Duration = Duration::from_secs(15);

/// A network without anybody else.
struct Nobody;

#[async_trait]
impl Wire for Nobody {
    async fn open(&self, target: NodeId, _: Channel) -> Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), WireError> {
        Err(WireError::Unreachable { target, reason: "there is nobody else".to_owned() })
    }
}

/// The log of a cluster of n1 and n2, with one address each, and n3, with 64; and a token for each of two more.
async fn log(dir: &tempfile::TempDir) -> Raft {
    let mut config = RaftConfig::new(node(1), dir.path());
    config.autopilot.enabled = false;
    let raft = Raft::start(config, Arc::new(Nobody)).await.unwrap();
    let genesis = Genesis { cluster: ClusterId::from_bytes([9; 16]), epoch: 1, ca_pem: "pem".to_owned() };
    raft.initialise(vec![newcomer(1, 1).into_record(node(1))], genesis, LONG).await.unwrap();
    for number in 2..=5 {
        let id = [number; 16];
        let record = TokenRecord { id, secret_hash: Digest([number; 32]), expires_ms: u64::MAX, used_by: None };
        raft.write(lead::proposal("test", Command::CreateToken(record)), LONG).await.unwrap();
    }
    for (number, addresses) in [(2, 1), (3, 64)] {
        raft.write(lead::proposal("test", admit(number, addresses)), LONG).await.unwrap();
    }
    raft
}

fn admit(number: u8, addresses: u8) -> Command {
    Command::Admit { token: [number; 16], member: newcomer(number, addresses) }
}

/// Whether one more member fits, as n`me` judges.
fn judge(me: u8, state: &State, number: u8, addresses: u8) -> Result<(), NoRoom> {
    let interfaces = [LocalInterface {
        name: "eth0".to_owned(),
        ifindex: 2,
        role: Role::Cluster,
        addresses: vec![format!("10.77.{me}.1/16").parse().unwrap()],
    }];
    let configured: Vec<_> = channels::of(&channel("many")).collect();
    let members: Vec<_> = state.members.values().cloned().collect();
    let in_force = policy::guard(node(me), &interfaces, &configured, &members, 7400).unwrap();
    let (interfaces, configured) = (&interfaces, &configured);
    let capacity = Capacity { me: node(me), interfaces, port: 7400, configured, state, in_force: &in_force };
    capacity.for_newcomer(&newcomer(number, addresses))
}

/// G0: two joiners at one moment, through two members, and room for one of them: it is admitted, and the other is told
/// what does not fit. Its token is still good.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g0_of_two_joiners_at_one_moment_only_the_one_that_fits_is_admitted() {
    let dir = tempfile::tempdir().unwrap();
    let raft = log(&dir).await;
    let both_judged = Arc::new(Barrier::new(2));
    let through = |member: u8, number: u8| {
        let (raft, both_judged, is_first) = (raft.clone(), both_judged.clone(), AtomicBool::new(true));
        tokio::spawn(async move {
            let judge = |state: &State| {
                let judged = judge(member, state, number, 60);
                if is_first.swap(false, Ordering::Relaxed) {
                    assert_eq!(judged, Ok(()), "alone it fits");
                    both_judged.wait();
                }
                judged
            };
            write(&raft, "test", &admit(number, 60), LONG, judge).await
        })
    };
    let (one, other) = (through(1, 4), through(2, 5));
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    let refused = match (&one, &other) {
        (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
        both => panic!("one of the two fits: {both:?}"),
    };
    assert!(matches!(refused, Unwritten::NoRoom(_)), "{refused}");
    assert!(refused.to_string().contains("could not keep every sync flow open"), "{refused}");
    let state = raft.read(LONG).await.unwrap();
    assert_eq!(state.members.len(), 4);
    assert_eq!(state.tokens.values().filter(|token| token.used_by.is_none()).count(), 1);
    raft.shutdown().await.unwrap();
}
