//! Conversations: flows that are opened, answered, ended and forgotten, fragments, revisions that change in the middle of them.

use std::time::{Duration, Instant};

use dataplane::{
    Hook, TableSizes,
    testing::{Arrival, TwinError, Twins, frame_of},
};
use policy::{
    Direction, Flow, Guard, Image,
    sample::{FlowSampler, SplitMix64},
};

use crate::{
    driver::{self, Driver},
    shared::{corpus, frames::random_frame, guards::random_guard, members, policies::sample},
    vlans,
};

/// Pairs of policies that are tried, unless the time is over before.
const POLICIES_MAX: u64 = 400;
/// Pairs of policies that are tried in any case.
const POLICIES_MIN: u64 = 20;
/// For how long.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Packets that one pair of policies sees. Fewer than the tables hold, since which entry gives way is nobody's promise.
const PACKETS: u64 = 2_000;
/// Conversations that go on at the same time.
const FLOWS: usize = 24;
/// Seconds that pass at once at most: longer than most entries live.
const WAIT_S_MAX: usize = 90;

/// Where a packet goes through, and what it says.
struct Packet {
    hook: Hook,
    frame: Vec<u8>,
}

/// Flows that packets are drawn from, again and again.
struct Talk {
    flows: Vec<Flow>,
    guarded: Vec<Flow>,
    sampler: FlowSampler,
    random: SplitMix64,
    ifindex: u32,
}

impl Talk {
    fn new(seed: u64, ifindex: u32) -> (Talk, Guard, [Image; 2]) {
        let (model, members, image) = sample(seed);
        let (sampler, mut random) = (FlowSampler::new(&model, &members), SplitMix64::new(!seed));
        let (guard, guarded) = random_guard(&sampler, &mut random, ifindex);
        let flows = (0..FLOWS).map(|_| sampler.flow(&mut random)).collect();
        (Talk { flows, guarded, sampler, random, ifindex }, guard, [image, sample(seed + 1_000).2])
    }

    fn packet(&mut self) -> Packet {
        let random = &mut self.random;
        let flow = *random.pick(&self.flows);
        let answers = random.once_in(2);
        let flags = *random.pick(&[0x02, 0x12, 0x10, 0x10, 0x18, 0x11, 0x04]);
        let frame = match random.below(12) {
            0 => random_frame(&self.sampler, &self.guarded, random),
            1 | 2 => fragment(&flow, random),
            _ if answers => frame_of(&flow.reverse(), flags),
            _ => frame_of(&flow, flags),
        };
        // Mostly the way of a node that opens flows; sometimes the other, as on one that forwards.
        let leaves = answers == random.once_in(5);
        let direction = if leaves { Direction::Egress } else { Direction::Ingress };
        Packet { hook: Hook { ifindex: self.ifindex, direction }, frame }
    }
}

/// A part of a datagram of the flow; few identifications, so that parts meet.
fn fragment(flow: &Flow, random: &mut SplitMix64) -> Vec<u8> {
    let (mut frame, id, offset) = (frame_of(flow, 0x10), random.byte() & 3, random.byte() & 3);
    if flow.src.is_ipv4() {
        frame[19] = id;
        frame[20] = if offset == 0 { 0x20 } else { 0 };
        frame[21] = offset;
        return frame;
    }
    let header = [frame[20], 0, 0, offset << 3 | u8::from(offset == 0), 0, 0, 0, id];
    frame[20] = 44;
    frame[19] += 8;
    frame.splice(54..54, header);
    frame
}

fn talk(twins: &mut Twins<Driver>, seed: u64, ifindex: u32) -> Result<(), TwinError> {
    let (mut talk, guard, [image, other]) = Talk::new(seed, ifindex);
    twins.set_guard(&guard)?;
    twins.activate(image)?;
    twins.set_spare(other)?;
    twins.begin()?;
    for _ in 0..PACKETS {
        let Packet { hook, frame } = talk.packet();
        twins.judge(hook, &frame, 0)?;
        let arrival = *talk.random.pick(&Arrival::ALL);
        twins.receive(arrival, hook, &frame, 14 + talk.random.below(40))?;
        if talk.random.once_in(40) {
            twins.wait(talk.random.below(WAIT_S_MAX) as u64)?;
        }
        if talk.random.once_in(150) {
            twins.flip()?;
        }
    }
    twins.compare_counters()
}

#[test]
fn native_programs_and_userspace_enforcer_remember_the_same() {
    let Some(driver) = driver::start() else { return };
    let (interface, began) = (members::interface(), Instant::now());
    let interfaces = std::slice::from_ref(&interface);
    let mut twins = Twins::new(driver, 0, interfaces, &corpus::guard(&interface), TableSizes::small()).unwrap();
    twins.set_vlans(&vlans::of_random_frames(interface.ifindex)).unwrap();
    let mut done = 0;
    while done < POLICIES_MIN || (done < POLICIES_MAX && began.elapsed() < TIME_MAX) {
        talk(&mut twins, done, interface.ifindex).unwrap_or_else(|error| panic!("seed {done}: {error}"));
        done += 1;
    }
    println!("{} packets in {:?}: {:?}", done * PACKETS, began.elapsed(), twins.seen());
    assert!(twins.seen().len() >= 20, "the conversations are too tame: {:?}", twins.seen());
}
