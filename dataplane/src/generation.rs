//! Two halves of every table and the word that says which one is live.

use std::{io, thread::JoinHandle};

use identity::Digest;
use policy::{
    TableId, Tables,
    image::{TABLES, digest_of},
};

use crate::{
    abi::{Count as Cell, Cpu, HOOKS, Live, Meta, REASONS, UNTOLD},
    enforcer::{Active, Count},
    error::OpenError,
    failpoint::failpoint,
    grace,
    object::Object,
    reason::Reason,
    sizes::{Placement, TableSizes},
    sys::Mapped,
};

const META_WORDS: usize = size_of::<Meta>() / 4;
const META_GENERATION: usize = std::mem::offset_of!(Meta, generation) / 4;
const META_RULES: usize = std::mem::offset_of!(Meta, rules) / 4;
const META_LENGTHS: usize = std::mem::offset_of!(Meta, words) / 4;
const META_DIGEST: usize = std::mem::offset_of!(Meta, digest) / 4;
const LIVE_WORDS: usize = size_of::<Live>() / 4;
const LIVE_DISARMED: usize = std::mem::offset_of!(Live, disarmed) / 4;
/// Words of a chunk; the map is never smaller.
const CHUNK_WORDS: usize = 256;
/// Words of a counter.
const COUNT_WORDS: usize = size_of::<Cell>() / 4;
const CPU_WORDS: usize = size_of::<Cpu>() / 4;
/// 64-bit words from the start of a processor's counters to those of the events that it could not tell.
const CPU_LOST: usize = std::mem::offset_of!(Cpu, lost) / 8;
/// Words from there to how many events it may still tell.
const CPU_MAY_TELL: usize = std::mem::offset_of!(Cpu, may_tell) / 4;
/// Events that a processor may tell until all have been taken.
const EVENTS_MAX: u32 = 256;

/// The tables that packets read, and the counters.
pub(crate) struct Generations {
    live: Mapped,
    meta: Mapped,
    /// Of even and of odd generations.
    images: [Mapped; 2],
    chunks: Mapped,
    rules: Mapped,
    cpus: Mapped,
    placement: Placement,
    grace: Grace,
    /// The generation of the tables that these succeed.
    floor: u32,
}

/// Whether every packet that might still read the idle half has gone.
enum Grace {
    /// Nobody has waited since the last flip, or since this process began.
    Due,
    /// Somebody is waiting.
    Waiting(JoinHandle<io::Result<()>>),
    /// They have gone.
    Passed,
}

impl Generations {
    pub(crate) fn open(object: &Object, placement: Placement) -> Result<Generations, OpenError> {
        let (cpus, rules) = (placement.cpus as usize, placement.rules());
        Ok(Generations {
            live: object.mapped("hr_live", LIVE_WORDS)?,
            meta: object.mapped("hr_meta", 2 * META_WORDS)?,
            images: [
                object.mapped("hr_image_even", placement.image_words())?,
                object.mapped("hr_image_odd", placement.image_words())?,
            ],
            chunks: object.mapped("hr_chunks", (2 * placement.chunk_words()).max(CHUNK_WORDS))?,
            rules: object.mapped("hr_rules", 2 * cpus * rules * COUNT_WORDS)?,
            cpus: object.mapped("hr_cpus", placement.cpus() * CPU_WORDS)?,
            placement,
            grace: Grace::Due,
            floor: 0,
        })
    }

    /// The live generation; 0: none yet.
    pub(crate) fn generation(&self) -> u32 {
        self.live.load(0)
    }

    /// Goes on counting where other tables are (G6).
    pub(crate) fn succeed(&mut self, generation: u32) {
        self.floor = generation;
    }

    /// The generation that would be next.
    pub(crate) fn next(&self) -> u32 {
        let last = match self.generation() {
            0 => self.floor,
            live => live,
        };
        // 0 means none, also after four billion of them.
        match last.wrapping_add(1) {
            0 => 2,
            next => next,
        }
    }

    pub(crate) fn disarmed(&self) -> bool {
        self.live.load(LIVE_DISARMED) != 0
    }

    pub(crate) fn set_disarmed(&self, disarmed: bool) {
        self.live.store(LIVE_DISARMED, Live::disarm_word(disarmed));
    }

    /// What is recorded of the live half.
    pub(crate) fn active(&self) -> Option<Active> {
        self.recorded(self.generation())
    }

    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The sizes of the tables.
    pub(crate) fn sizes(&self) -> &TableSizes {
        &self.placement.sizes
    }

    /// What is recorded of the half of a generation, if it is filled for that one.
    pub(crate) fn recorded(&self, generation: u32) -> Option<Active> {
        let meta = self.meta.read(slot(generation) * META_WORDS, META_WORDS);
        (generation != 0 && meta[META_GENERATION] == generation).then(|| Active {
            generation,
            revision: u64::from(meta[0]) | u64::from(meta[1]) << 32,
            digest: digest_from(&meta[META_DIGEST..META_DIGEST + 8]),
        })
    }

    fn rules_of(&self, slot: usize) -> usize {
        (self.meta.load(slot * META_WORDS + META_RULES) as usize).min(self.placement.rules())
    }

    /// Writes tables into the half of the next generation, with its counters at 0. Call after [`Self::wait_for_grace`].
    pub(crate) fn fill(&mut self, tables: &Tables, revision: u64, rules: usize, digest: Digest) {
        let generation = self.next();
        let slot = slot(generation);
        let stale = self.rules_of(slot).max(rules);
        self.meta.clear(slot * META_WORDS, META_WORDS);
        for (table, words) in tables.each() {
            let (map, offset) = self.place_mut(table, slot);
            // Most of a changed policy is what it was: what is the same stays in the caches of other processors.
            if map.read(offset, words.len()) != words {
                map.write(offset, words);
            }
            failpoint("filling");
        }
        failpoint("filled");
        self.clear_rules(slot, stale);
        self.write_meta(slot, tables, revision, rules, digest, generation);
    }

    fn write_meta(
        &mut self,
        slot: usize,
        tables: &Tables,
        revision: u64,
        rules: usize,
        digest: Digest,
        generation: u32,
    ) {
        let mut meta = [0; META_WORDS];
        let bytes = revision.to_le_bytes();
        meta[0] = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        meta[1] = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        meta[META_GENERATION] = generation;
        meta[META_RULES] = u32::try_from(rules).unwrap_or(u32::MAX);
        for (index, table) in TABLES.into_iter().enumerate() {
            meta[META_LENGTHS + index] = u32::try_from(tables.words(table).len()).expect("it was found to fit");
        }
        for (word, bytes) in meta[META_DIGEST..].iter_mut().zip(digest.0.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        self.meta.write(slot * META_WORDS, &meta);
        failpoint("meta-written");
    }

    /// The digest of what the half of a generation holds now.
    pub(crate) fn digest(&self, generation: u32) -> Digest {
        let slot = slot(generation);
        let sections = TABLES.into_iter().enumerate().map(|(index, table)| {
            let length = self.meta.load(slot * META_WORDS + META_LENGTHS + index) as usize;
            (table.name(), self.words(table, slot, length.min(self.placement.words(table))))
        });
        digest_of(sections)
    }

    /// The limits in the half of a generation.
    pub(crate) fn limits(&self, generation: u32) -> &[u32] {
        let (slot, index) = (slot(generation), TABLES.iter().position(|table| *table == TableId::Limits));
        let index = index.expect("limits are a table");
        let length = self.meta.load(slot * META_WORDS + META_LENGTHS + index) as usize;
        self.words(TableId::Limits, slot, length.min(self.placement.words(TableId::Limits)))
    }

    /// Whether the half of a generation, read back, is word for word what these tables are.
    pub(crate) fn holds(&self, generation: u32, tables: &Tables) -> bool {
        tables.each().all(|(table, words)| self.words(table, slot(generation), words.len()) == words)
    }

    fn words(&self, table: TableId, slot: usize, length: usize) -> &[u32] {
        match table {
            TableId::Chunks if !self.placement.chunks_inside() => {
                self.chunks.read(slot * self.placement.chunk_words(), length)
            }
            _ => self.images[slot].read(self.placement.offset(table), length),
        }
    }

    fn place_mut(&mut self, table: TableId, slot: usize) -> (&mut Mapped, usize) {
        match table {
            TableId::Chunks if !self.placement.chunks_inside() => {
                (&mut self.chunks, slot * self.placement.chunk_words())
            }
            _ => (&mut self.images[slot], self.placement.offset(table)),
        }
    }

    /// The flip: one word. From here on every packet of every hook reads the other half.
    pub(crate) fn flip(&mut self, generation: u32) {
        failpoint("before-flip");
        self.live.store(0, generation);
        failpoint("flipped");
        self.grace = match std::thread::Builder::new().name("hr-grace".to_owned()).spawn(grace::wait_for_grace) {
            Ok(waiting) => Grace::Waiting(waiting),
            Err(_) => Grace::Due,
        };
    }

    /// Returns when no packet can still be reading the idle half.
    pub(crate) fn wait_for_grace(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.grace, Grace::Due) {
            Grace::Due => grace::wait_for_grace()?,
            Grace::Waiting(thread) => thread.join().unwrap_or_else(|_| grace::wait_for_grace())?,
            Grace::Passed => {}
        }
        self.grace = Grace::Passed;
        Ok(())
    }

    fn clear_rules(&mut self, slot: usize, rules: usize) {
        for cpu in 0..self.placement.cpus as usize {
            let first = (cpu * 2 + slot) * self.placement.rules();
            self.rules.clear(first * COUNT_WORDS, rules * COUNT_WORDS);
        }
    }

    /// The count of each rule in the half of a generation.
    pub(crate) fn rule_counts(&self, generation: u32) -> Vec<Count> {
        let slot = slot(generation);
        let mut counts = vec![Count::default(); self.rules_of(slot)];
        for cpu in 0..self.placement.cpus as usize {
            let first = (cpu * 2 + slot) * self.placement.rules();
            for (rule, count) in counts.iter_mut().enumerate() {
                *count += read_count(&self.rules, first + rule);
            }
        }
        counts
    }

    /// The count of a reason at a hook (0: ingress, 1: egress).
    pub(crate) fn reason_count(&self, hook: usize, reason: Reason) -> Count {
        let mut count = self.counted(hook, reason.number());
        if reason == Reason::Denied {
            count += self.counted(hook, UNTOLD);
        }
        count
    }

    fn counted(&self, hook: usize, number: u32) -> Count {
        let mut count = Count::default();
        for cpu in 0..self.placement.cpus as usize {
            let first = cpu * CPU_WORDS / COUNT_WORDS;
            count += read_count(&self.cpus, first + hook * REASONS + number as usize);
        }
        count
    }

    /// Flow events that could not be told.
    pub(crate) fn events_lost(&self) -> u64 {
        let of_cpu = |cpu: usize| self.cpus.load64(cpu * CPU_WORDS / 2 + CPU_LOST);
        let untold = (0..HOOKS).map(|hook| self.counted(hook, UNTOLD).packets).sum::<u64>();
        untold + (0..self.placement.cpus as usize).map(of_cpu).sum::<u64>()
    }

    /// Lets every processor tell anew.
    pub(crate) fn grant_events(&self) {
        for cpu in 0..self.placement.cpus as usize {
            self.cpus.store(cpu * CPU_WORDS + CPU_MAY_TELL, EVENTS_MAX);
        }
    }
}

fn read_count(map: &Mapped, index: usize) -> Count {
    Count { packets: map.load64(index * 2), bytes: map.load64(index * 2 + 1) }
}

/// The half of a generation.
pub(crate) fn slot(generation: u32) -> usize {
    (generation & 1) as usize
}

fn digest_from(words: &[u32]) -> Digest {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    Digest(bytes)
}
