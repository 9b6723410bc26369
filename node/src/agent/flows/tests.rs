use std::time::Instant;

use dataplane::{Enforcer, FlowEvent, Hook, Reason, TableSizes, Timeouts, Userspace};
use policy::{Direction, Flow, Image};

use super::*;
use crate::agent::enforce::{EnforcerHandle, Opened};

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(30);

fn told() -> FlowEvents {
    let address = "203.0.113.10".parse().unwrap();
    let event = FlowEvent {
        at_ns: 0,
        hook: Hook { ifindex: 2, direction: Direction::Egress },
        flow: Flow { src: address, dst: address, protocol: 17, src_port: 5_000, dst_port: 53 },
        tcp_flags: 0,
        reason: Reason::Denied,
        ingress_rule: 0,
        egress_rule: 0,
        generation: 1,
        bytes: 74,
        logged: false,
    };
    FlowEvents { events: vec![event], lost: 0 }
}

const CLOCK: Clock = Clock { wall_ms: 0, monotonic_ns: 0 };

#[tokio::test]
async fn who_waits_is_answered_by_the_next_event() {
    let log = FlowLog::new(CancellationToken::new());
    log.keep(told(), CLOCK);
    let waiting = {
        let log = log.clone();
        tokio::spawn(async move { log.wait_for_page(Some(1), 10, LONG).await })
    };
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "the first event is known already");
    log.keep(told(), CLOCK);
    let page = waiting.await.unwrap();
    assert_eq!((page.events.len(), page.next_since), (1, 2));
    // What is there already is not waited for.
    assert_eq!(log.wait_for_page(Some(0), 10, LONG).await.events.len(), 2);
    assert!(log.wait_for_page(Some(2), 10, Duration::from_millis(1)).await.events.is_empty());
}

/// An agent that is told to end does not wait for those who follow its flows.
#[tokio::test]
async fn nobody_waits_beyond_the_end_of_the_agent() {
    let stop = CancellationToken::new();
    let log = FlowLog::new(stop.clone());
    let began = Instant::now();
    let waiting = tokio::spawn(async move { log.wait_for_page(None, 10, LONG).await });
    stop.cancel();
    assert!(waiting.await.unwrap().events.is_empty());
    assert!(began.elapsed() < LONG);
}

/// What the data path tells is taken without anybody asking, and counted.
#[tokio::test]
async fn events_are_taken_from_the_data_path_regularly() {
    let (enforcer, opened) = EnforcerHandle::spawn(|| {
        let interface = policy::LocalInterface {
            name: "eth0".to_owned(),
            ifindex: 2,
            role: identity::Role::Cluster,
            addresses: Vec::new(),
        };
        let mut inner = Userspace::new(vec![interface], TableSizes::small(), Timeouts::default());
        let hook = Hook { ifindex: 2, direction: Direction::Ingress };
        let prepared = inner.prepare(1, &Image::empty_allow(), &[]).unwrap();
        inner.activate(prepared).unwrap();
        // Refused whatever the policy, and told of.
        inner.receive(hook, &refused());
        Ok::<_, ()>(Opened { enforcer: Box::new(inner), others_judge: false })
    });
    opened.await.unwrap().unwrap();
    let stop = CancellationToken::new();
    let log = FlowLog::new(stop.clone());
    let draining = tokio::spawn(drain(log.clone(), enforcer, stop.clone()));
    let page = log.wait_for_page(None, 10, LONG).await;
    assert_eq!(page.events[0].event.reason, Reason::BadTcpFlags);
    assert_eq!(log.counts(), Counts { taken: 1, ..Counts::default() });
    stop.cancel();
    draining.await.unwrap();
}

/// A segment with SYN and FIN.
fn refused() -> Vec<u8> {
    let flow = Flow {
        src: "198.51.100.7".parse().unwrap(),
        dst: "203.0.113.10".parse().unwrap(),
        protocol: 6,
        src_port: 50_000,
        dst_port: 22,
    };
    dataplane::testing::frame_of(&flow, 0x03)
}
