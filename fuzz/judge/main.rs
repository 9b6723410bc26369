//! The programs of the data path and the userspace enforcer judge the same packets, and must agree. An input names one of a few
//! policies and has packets, some time between them, and changes of the revision.

#![no_main]

#[path = "../entry.rs"]
mod entry;
mod seeds;
#[expect(dead_code, reason = "the tests share more with each other than with this")]
#[path = "../../dataplane/tests/shared/mod.rs"]
mod shared;
mod step;
mod wire;

use std::cell::RefCell;

use dataplane::{
    Hook, TableSizes,
    testing::{TwinError, Twins},
};
use policy::{CompileLimits, Direction};

use crate::{
    seeds::{seeds, talkers},
    shared::{corpus, members, policies::sample},
    step::{STEPS_MAX, Step, steps},
    wire::InProcess,
};

/// Pairs of policies, each in a world of its own.
const WORLDS: u32 = 8;
/// Rules that have a counter: no sample has more, and counters are cleared for every input.
const RULES_MAX: usize = 1_024;

thread_local! {
    static TWINS: RefCell<Vec<Twins<InProcess>>> = RefCell::new((0..WORLDS).map(twins).collect());
}

/// A world: the evasion corpus's in 0, random ones in the others.
fn twins(world: u32) -> Twins<InProcess> {
    let interface = members::interface();
    let small = TableSizes::small();
    let image = CompileLimits { rules_max: RULES_MAX, ..small.image };
    // The programs have one set of settings: chunks are where they are in all worlds.
    let sizes = TableSizes { image, chunks_apart: false, ..small };
    let (first, guard) = match world {
        0 => (corpus::image(), corpus::guard(&interface)),
        _ => (sample(u64::from(world)).2, talkers(world).guard),
    };
    let made = Twins::new(InProcess::default(), world, &[interface], &guard, sizes);
    let mut twins = made.unwrap_or_else(|error| panic!("{error}"));
    let ready = twins.activate(first).and_then(|()| twins.set_spare(sample(u64::from(world) + 1_000).2));
    ready.unwrap_or_else(|error| panic!("{error}"));
    twins
}

/// One input: a byte that names the world, and steps.
fn one(input: &[u8]) {
    let Some((world, rest)) = input.split_first() else { return };
    TWINS.with_borrow_mut(|all| {
        let twins = &mut all[(u32::from(*world) % WORLDS) as usize];
        if let Err(error) = play(twins, rest) {
            panic!("{error}");
        }
    });
}

fn play(twins: &mut Twins<InProcess>, input: &[u8]) -> Result<(), TwinError> {
    twins.begin()?;
    let home = twins.generation() & 1;
    for step in steps(input).take(STEPS_MAX) {
        take(twins, &step)?;
    }
    twins.compare_counters()?;
    // The next input finds the policy live that this one has found.
    if twins.generation() & 1 == home { Ok(()) } else { twins.flip() }
}

fn take(twins: &mut Twins<InProcess>, step: &Step<'_>) -> Result<(), TwinError> {
    let hook = |direction: Direction| Hook { ifindex: members::interface().ifindex, direction };
    match *step {
        Step::Packet { arrival, direction, linear, frame } => {
            twins.judge(hook(direction), frame, linear)?;
            twins.receive(arrival, hook(direction), frame, linear)?;
        }
        Step::Cut { direction, linear, frame } => twins.receive_cut(hook(direction), frame, linear)?,
        Step::Flip => twins.flip()?,
        Step::Wait(seconds) => twins.wait(seconds)?,
    }
    Ok(())
}
