use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use dataplane::{
    ActivateError, Active, AttestError, Attestation, Counters, FlowEvents, GuardSetError, Hook, HookError, JudgeError,
    Judgement, PrepareError, Prepared, TableSizes, Timeouts, Userspace,
};
use identity::Role;
use policy::{Direction, Guard, Image, LocalInterface, Obligation};

use super::*;
use crate::agent::{compiled, enforce::Opened, prepare::prepare};

/// What one frame takes in the kernel, generously.
const FRAME_TAKES: Duration = Duration::from_micros(15);

/// Frames of a guard that is nearly full: two seconds and a half of proving.
const FRAMES: usize = 160_000;

/// A foreign detach must be repaired within this time.
const REPAIRED_WITHIN: Duration = Duration::from_secs(1);

/// When our program was detached last, if it has not been attached again, and how long each detach lasted.
#[derive(Default)]
struct Detaches {
    since: Option<Instant>,
    lasted: Vec<Duration>,
}

/// A data path that takes its time to prove, and whose program is detached whenever it begins to.
struct Slow {
    inner: Userspace,
    detaches: Arc<Mutex<Detaches>>,
}

impl Enforcer for Slow {
    fn prepare(&mut self, revision: u64, image: &Image, obligations: &[Obligation]) -> Result<Prepared, PrepareError> {
        self.detaches.lock().unwrap().since.get_or_insert_with(Instant::now);
        std::thread::sleep(FRAME_TAKES * u32::try_from(obligations.len()).unwrap());
        self.inner.prepare(revision, image, &[])
    }

    fn check_hooks(&mut self) -> Result<Vec<HookStatus>, HookError> {
        let mut hooks = self.inner.check_hooks()?;
        let mut detaches = self.detaches.lock().unwrap();
        if let Some(since) = detaches.since.take() {
            detaches.lasted.push(since.elapsed());
            hooks[0].state = HookState::Repaired;
        }
        Ok(hooks)
    }

    fn set_guard(&mut self, guard: &Guard) -> Result<(), GuardSetError> {
        self.inner.set_guard(guard)
    }

    fn activate(&mut self, prepared: Prepared) -> Result<Active, ActivateError> {
        self.inner.activate(prepared)
    }

    fn active(&self) -> Option<Active> {
        self.inner.active()
    }

    fn adopt(&mut self, image: &Image) -> bool {
        self.inner.adopt(image)
    }

    fn attest(&mut self) -> Result<Attestation, AttestError> {
        self.inner.attest()
    }

    fn judge(&mut self, hook: Hook, frame: &[u8]) -> Result<Judgement, JudgeError> {
        self.inner.judge(hook, frame)
    }

    fn counters(&mut self) -> Counters {
        self.inner.counters()
    }

    fn flow_events(&mut self, max: usize) -> FlowEvents {
        self.inner.flow_events(max)
    }

    fn set_disarmed(&mut self, disarmed: bool) {
        self.inner.set_disarmed(disarmed);
    }

    fn disarmed(&self) -> bool {
        self.inner.disarmed()
    }
}

fn interface() -> LocalInterface {
    LocalInterface { name: "eth0".to_owned(), ifindex: 2, role: Role::Cluster, addresses: Vec::new() }
}

fn obligation() -> Obligation {
    Obligation { hook: (2, Direction::Ingress), frame: vec![0; 64], must_pass: false, why: "a near miss".to_owned() }
}

/// G20: a program that somebody detaches while a large revision is being proven is attached again within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g20_a_long_proof_does_not_delay_the_repair_of_a_hook() {
    let detaches = Arc::new(Mutex::new(Detaches::default()));
    let theirs = detaches.clone();
    let open = move || {
        let inner = Userspace::new(vec![interface()], TableSizes::small(), Timeouts::default());
        Ok::<_, ()>(Opened { enforcer: Box::new(Slow { inner, detaches: theirs }), others_judge: false })
    };
    let (enforcer, opened) = EnforcerHandle::spawn(open);
    opened.await.unwrap().unwrap();
    let (panel, watched) = Panel::new();
    let stop = CancellationToken::new();
    let inspecting = tokio::spawn(Inspector::new(enforcer.clone(), panel).run(stop.clone()));

    let compiled = Arc::new(compiled::compile(&raft::State::default(), 0).unwrap());
    let began = Instant::now();
    let prepared = prepare(&enforcer, &compiled, vec![obligation(); FRAMES]).await.unwrap().unwrap();
    assert!(began.elapsed() > 2 * REPAIRED_WITHIN, "the proof is long enough to be in the way");
    // What was proven in batches is one preparation, and can go live.
    let active = enforcer.run(move |enforcer| enforcer.activate(prepared)).await.unwrap().unwrap();
    assert_eq!(active.digest, compiled.target.image);
    stop.cancel();
    inspecting.await.unwrap().unwrap();

    let detaches = detaches.lock().unwrap();
    let open_for = detaches.since.map(|since| since.elapsed());
    let longest = detaches.lasted.iter().copied().chain(open_for).max().unwrap();
    assert!(longest < REPAIRED_WITHIN, "detached for {longest:?}");
    assert!(detaches.lasted.len() > 2, "looked at while proving, not only before and after: {:?}", detaches.lasted);
    let repaired: u64 = watched.borrow().repaired.values().sum();
    assert_eq!(repaired, detaches.lasted.len() as u64);
}

/// While programs of another layout judge, there are no hooks of ours to miss; that must not look as if all were well.
#[tokio::test]
async fn programs_of_another_layout_are_told_of_until_ours_are_attached() {
    for (interfaces, is_told) in [(Vec::new(), true), (vec![interface()], false)] {
        let open = move || {
            let inner = Userspace::new(interfaces, TableSizes::small(), Timeouts::default());
            Ok::<_, ()>(Opened { enforcer: Box::new(inner), others_judge: true })
        };
        let (enforcer, opened) = EnforcerHandle::spawn(open);
        opened.await.unwrap().unwrap();
        let (panel, watched) = Panel::new();
        Inspector::new(enforcer, panel).check_hooks().await.unwrap();
        assert_eq!(watched.borrow().others_judge, is_told);
    }
}
