//! The programs compiled for this machine (`bpf/native/`): what they are told, in the words of `bpf/native/request.h`.

use std::{io, mem::offset_of};

use policy::{Direction, Guard, Image, TableId};

use crate::{
    abi::{Cpu, Gate, JoinKey, JoinValue, REASONS, UNTOLD},
    clock,
    enforcer::{Count, Timeouts},
    gate,
    guard_maps::{JOIN_PORT_WORD, Wanted, vlan_entries},
    object,
    reason::Reason,
    settings::{self, VALUES},
    sizes::{Placement, TableSizes},
    vlan::Children,
};

/// Events that may be told in a generation.
const EVENTS_MAX: u32 = 16;

const ASK_SETTINGS: u32 = 1;
const ASK_WORLD: u32 = 2;
const ASK_MAKE: u32 = 3;
const ASK_CLEAR: u32 = 4;
const ASK_STORE: u32 = 5;
const ASK_UPDATE: u32 = 6;
const ASK_CLOCK: u32 = 7;
const ASK_RUN: u32 = 8;
const ASK_READ: u32 = 9;

/// Bytes of the name in a request.
const NAME_BYTES: usize = 24;
/// Bytes of an answer to a run.
const RAN_BYTES: usize = 16;
/// Processors for which there are counters; programs run on the last of them.
const CPUS: u32 = 2;
/// A tick of the programs is then a second, as in the userspace enforcer.
const JIFFIES_PER_SECOND: u64 = 64;
/// Maps that hold what programs remember or count.
const STATE: [&str; 8] =
    ["hr_flows4", "hr_flows6", "hr_fragments", "hr_sync_fragments", "hr_cpus", "hr_rules", LIMITS[0], LIMITS[1]];
/// Those of limits, which begin full with another policy.
const LIMITS: [&str; 2] = ["hr_buckets", "hr_sources"];
/// Maps that hold a guard.
const GUARD: [&str; 4] = ["hr_gate", "hr_guard", "hr_spoof", "hr_join"];

/// Brings requests to the programs, and answers back in the order of the requests.
pub trait Wire {
    /// Takes a request on its way. Many may be under way if their answers are short.
    ///
    /// # Errors
    /// If nobody is there to take it.
    fn send(&mut self, request: &[u8]) -> io::Result<()>;

    /// Waits for the next answer.
    ///
    /// # Errors
    /// If it does not come: the programs have ended, or a sanitizer has ended them.
    fn receive(&mut self, answer: &mut [u8]) -> io::Result<()>;
}

/// A program that is run on a frame, and what it is told.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Its name in `bpf/hedgerow.bpf.c`.
    pub program: &'a str,
    /// The interface.
    pub ifindex: u32,
    /// Bytes of the frame that it sees without asking for more; 0: all.
    pub linear: usize,
    /// The frame.
    pub frame: &'a [u8],
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// What the program returned.
    pub action: i32,
    /// Of a probe: the number of the reason.
    pub reason: u32,
    /// Of a probe: the rules, ingress and egress.
    pub rules: (u32, u32),
}

/// The programs, their maps, and what userspace would have written into these.
pub struct Native<W> {
    wire: W,
    world: u32,
    placement: Placement,
    generation: u32,
    joins: Vec<(JoinKey, JoinValue)>,
}

impl<W: Wire> Native<W> {
    /// Makes every map of a world, empty. Worlds are numbered from 0; what is asked is about the one that was entered last.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn new(wire: W, world: u32, sizes: TableSizes, timeouts: &Timeouts) -> io::Result<Native<W>> {
        let placement = Placement { sizes, cpus: CPUS };
        let mut native = Native { wire, world, placement, generation: 0, joins: Vec::new() };
        native.enter()?;
        native.send(ASK_SETTINGS, "", &[], &[bytes_of_words(&settings::values(&placement))])?;
        native.make_maps()?;
        native.store("hr_timeouts", 0, 0, &bytes_of_words(&clock::ticks(timeouts, JIFFIES_PER_SECOND)))?;
        Ok(native)
    }

    /// Goes to its world, if others have gone elsewhere.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn enter(&mut self) -> io::Result<()> {
        self.send(ASK_WORLD, "", &[self.world], &[])
    }

    /// Makes every map as the loader would. It cannot set the size of a value: some are made with theirs, as `object::make_maps` does.
    fn make_maps(&mut self) -> io::Result<()> {
        for (name, entries) in object::entries(&self.placement) {
            let value = match name {
                name if VALUES.contains(&name) => object::value_shape(name, &self.placement).0,
                _ => 0,
            };
            self.send(ASK_MAKE, name, &[word(value), entries], &[])?;
        }
        Ok(())
    }

    fn send(&mut self, ask: u32, name: &str, arguments: &[u32], payload: &[Vec<u8>]) -> io::Result<()> {
        let mut request = Vec::with_capacity(64);
        head(&mut request, ask, name, arguments);
        payload.iter().for_each(|part| request.extend(part));
        self.wire.send(&request)
    }

    fn store(&mut self, map: &str, element: u32, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let mut request = Vec::with_capacity(64 + bytes.len());
        head(&mut request, ASK_STORE, map, &[element, word(offset)]);
        request.extend(bytes);
        self.wire.send(&request)
    }

    fn update<K: aya::Pod, V: aya::Pod>(&mut self, map: &str, key: &K, value: &V) -> io::Result<()> {
        self.send(ASK_UPDATE, map, &[], &[bytes_of(key).to_vec(), bytes_of(value).to_vec()])
    }

    /// Tells the guard that holds.
    ///
    /// # Errors
    /// If it does not fit, or as [`Wire::send`].
    pub fn set_guard(&mut self, guard: &Guard) -> io::Result<()> {
        let wanted = Wanted::of(guard).map_err(io::Error::other)?;
        GUARD.iter().try_for_each(|map| self.send(ASK_CLEAR, map, &[], &[]))?;
        let gates = gate::words(wanted.guard.keys(), wanted.spoof.keys());
        let gates: Vec<u8> = gates.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.store("hr_gate", 0, 0, &gates)?;
        self.store("hr_gate", 0, JOIN_PORT_WORD * size_of::<u32>(), &u32::from(wanted.join_port).to_ne_bytes())?;
        debug_assert!(gates.len() <= size_of::<Gate>());
        wanted.guard.iter().try_for_each(|(key, value)| self.update("hr_guard", key, value))?;
        wanted.spoof.iter().try_for_each(|(key, value)| self.update("hr_spoof", key, value))?;
        self.joins = wanted.join.into_iter().collect();
        self.open_doors()
    }

    /// Tells which VLANs there are.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub(crate) fn set_vlans(&mut self, children: &Children) -> io::Result<()> {
        self.send(ASK_CLEAR, "hr_vlan", &[], &[])?;
        vlan_entries(children).iter().try_for_each(|(key, value)| self.update("hr_vlan", key, value))
    }

    fn open_doors(&mut self) -> io::Result<()> {
        self.joins.clone().iter().try_for_each(|(key, value)| self.update("hr_join", key, value))
    }

    /// Fills the half of a generation.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn fill(&mut self, generation: u32, image: &Image) -> io::Result<()> {
        let (half, apart) = (generation & 1, !self.placement.chunks_inside());
        for (table, words) in image.tables.each() {
            if table == TableId::Chunks && apart {
                let first = half * word(self.placement.chunk_words() / CHUNK_WORDS);
                for (chunk, words) in (first..).zip(words.chunks(CHUNK_WORDS)) {
                    self.store("hr_chunks", chunk, 0, &bytes_of_words(words))?;
                }
            } else {
                let offset = self.placement.offset(table) * size_of::<u32>();
                let image = if half == 0 { "hr_image_even" } else { "hr_image_odd" };
                self.store(image, 0, offset, &bytes_of_words(words))?;
            }
        }
        Ok(())
    }

    /// Makes the half of a generation the live one.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn flip(&mut self, generation: u32) -> io::Result<()> {
        self.generation = generation;
        for map in LIMITS {
            self.send(ASK_CLEAR, map, &[], &[])?;
        }
        // Of the half that is live from now on, everything is counted anew.
        for cpu in 0..CPUS {
            let (element, at) = self.placement.rules_at(cpu, generation);
            self.store("hr_rules", element, at, &vec![0; self.placement.rules_bytes()])?;
        }
        self.grant_events()?;
        self.store("hr_live", 0, 0, &generation.to_ne_bytes())
    }

    /// Lets the programs tell of the next refused packets: who tells looks closer than who only counts.
    fn grant_events(&mut self) -> io::Result<()> {
        let may_tell = (CPUS - 1) as usize * size_of::<Cpu>() + offset_of!(Cpu, may_tell);
        self.store("hr_cpus", 0, may_tell, &EVENTS_MAX.to_ne_bytes())
    }

    /// Sets both clocks.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn set_clock(&mut self, now_s: u64) -> io::Result<()> {
        let [jiffies, ns] = [now_s * JIFFIES_PER_SECOND, now_s * 1_000_000_000];
        let halves = |number: u64| [(number & 0xffff_ffff) as u32, (number >> 32) as u32];
        let arguments = [halves(jiffies), halves(ns)].concat();
        self.send(ASK_CLOCK, "", &[&arguments[..], &[CPUS - 1]].concat(), &[])
    }

    /// Forgets every flow, fragment and count.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn forget(&mut self) -> io::Result<()> {
        STATE.iter().try_for_each(|map| self.send(ASK_CLEAR, map, &[], &[]))?;
        self.open_doors()
    }

    /// Runs a program; [`Native::ran`] has what came of it.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn run(&mut self, run: &Run<'_>) -> io::Result<()> {
        let mut request = Vec::with_capacity(64 + run.frame.len());
        head(&mut request, ASK_RUN, run.program, &[run.ifindex, self.generation, word(run.linear), 0, 1]);
        request.extend(run.frame);
        self.wire.send(&request)
    }

    /// What came of the next run that has not been asked about.
    ///
    /// # Errors
    /// As [`Wire::receive`].
    pub fn ran(&mut self) -> io::Result<Ran> {
        let mut answer = [0; RAN_BYTES];
        self.wire.receive(&mut answer)?;
        let word = |at: usize| u32::from_ne_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]]);
        Ok(Ran { action: word(0).cast_signed(), reason: word(4), rules: (word(8), word(12)) })
    }

    /// The count of each reason at a hook, by number. No run may be under way.
    ///
    /// # Errors
    /// As [`Wire::receive`].
    pub fn reasons(&mut self, direction: Direction) -> io::Result<Vec<Count>> {
        let hook = usize::from(direction == Direction::Egress);
        let cpu = (CPUS - 1) as usize * size_of::<Cpu>() / COUNT_BYTES;
        let mut counts = self.counts("hr_cpus", 0, cpu + hook * REASONS, REASONS)?;
        let untold = std::mem::take(&mut counts[UNTOLD as usize]);
        counts[Reason::Denied.number() as usize] += untold;
        Ok(counts)
    }

    /// The count of each of the first `rules` rules of the live half. No run may be under way.
    ///
    /// # Errors
    /// As [`Wire::receive`].
    pub fn rules(&mut self, rules: usize) -> io::Result<Vec<Count>> {
        let (element, at) = self.placement.rules_at(CPUS - 1, self.generation);
        self.counts("hr_rules", element, at / COUNT_BYTES, rules)
    }

    fn counts(&mut self, map: &str, element: u32, first: usize, count: usize) -> io::Result<Vec<Count>> {
        let mut answer = vec![0; count * COUNT_BYTES];
        self.send(ASK_READ, map, &[element, word(first * COUNT_BYTES), word(answer.len())], &[])?;
        if !answer.is_empty() {
            self.wire.receive(&mut answer)?;
        }
        let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
        Ok(answer
            .chunks_exact(COUNT_BYTES)
            .map(|c| Count { packets: number(&c[..8]), bytes: number(&c[8..]) })
            .collect())
    }
}

/// Bytes of a counter.
const COUNT_BYTES: usize = size_of::<crate::abi::Count>();
/// Words of a chunk.
const CHUNK_WORDS: usize = 256;

fn head(request: &mut Vec<u8>, ask: u32, name: &str, arguments: &[u32]) {
    request.extend(ask.to_ne_bytes());
    (0..5).for_each(|index| request.extend(arguments.get(index).copied().unwrap_or(0).to_ne_bytes()));
    assert!(name.len() < NAME_BYTES, "`{name}` is longer than the name in struct hr_request");
    request.extend(name.bytes().chain(std::iter::repeat(0)).take(NAME_BYTES));
}

fn word(number: usize) -> u32 {
    u32::try_from(number).expect("tables are below 4 GiB")
}

fn bytes_of_words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn bytes_of<T: aya::Pod>(value: &T) -> &[u8] {
    // SAFETY: Pod types have no padding and no pointers; every byte of the value is initialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}
