//! G0, G6, G13: a guarded channel, an allowed flow and answers that need an entry are hammered with numbered packets while revisions flip
//! in another process, which is killed and restarted, also with tables of another size. Lost: none. Denied packets let in: none.

use dataplane::{Enforcer, Kernel, TcMode, XdpMode};

use crate::{
    child::{Flipping, Task, config},
    guard::guarded,
    lab,
    streams::{Streams, image},
};

/// Revisions that flip, before `lab::scaled`; `HEDGEROW_TEST_FLIPS` sets another number.
const FLIPS: u64 = 1_000;
/// Likewise with `HEDGEROW_TEST_LONG=1`, which `cargo xtask test --long` sets.
const FLIPS_LONG: u64 = 10_000;
/// After so many flips the process is killed, or sooner, for there are so many kills at least.
const KILL_EVERY_MAX: u64 = 100;
const KILLS_MIN: u64 = 3;

fn flips() -> u64 {
    let long = std::env::var("HEDGEROW_TEST_LONG").is_ok_and(|value| value == "1");
    let asked = std::env::var("HEDGEROW_TEST_FLIPS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| lab::scaled(if long { FLIPS_LONG } else { FLIPS }))
}

fn kill_every() -> u64 {
    flips().div_ceil(KILLS_MIN).min(KILL_EVERY_MAX)
}

/// Which tables the process has between two kills: twice the same, then others.
fn layout(kill: u64) -> u64 {
    kill.div_ceil(2)
}

#[test]
fn g0_nothing_is_lost_and_nothing_gets_in_while_revisions_flip_and_the_peer_is_killed() {
    if lab::skipped() {
        return;
    }
    let mut bed = guarded();
    let mut kernel = bed.kernel.take().unwrap();
    lab::activate(&mut kernel, 1, &image(1));
    drop(kernel);
    let streams = Streams::begin(&bed.lab);
    let (mut revision, mut kills) = (1, 0);
    while revision < flips() {
        let (layout, revisions) = (layout(kills), revision + 1..u64::MAX);
        let task = Task { layout, xdp: XdpMode::Auto, tc: TcMode::Auto, revisions, failpoint: None };
        let mut child = Flipping::begin(&bed.lab, &task);
        let until = (revision + kill_every()).min(flips());
        while revision < until {
            revision = child.next_flip().expect("it flips until it is killed");
        }
        // In the middle of whatever it does next.
        child.kill();
        kills += 1;
        assert_eq!(streams.damage(), [0; 4], "kill {kills}, revision {revision}");
    }
    let mut kernel = Kernel::open(config(&bed.lab.bpffs, layout(kills - 1), XdpMode::Auto, TcMode::Auto)).unwrap();
    assert!(kernel.attest().unwrap().holds());
    let active = kernel.active().unwrap();
    assert!(active.revision >= revision && u64::from(active.generation) >= revision, "{active:?}");
    let sent = streams.end();
    assert!(sent > flips(), "{sent} packets of each kind in {} flips", flips());
    println!("{sent} packets of each kind in {revision} flips and {kills} kills: lost 0, 0 and 0, let in 0");
}
