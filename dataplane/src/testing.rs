//! For this crate's tests and measurements, not for users: the live tables read in bulk, and programs timed by the kernel.

mod native;
mod twins;

use std::{collections::BTreeMap, io, net::IpAddr, path::Path};

use aya::{
    Ebpf, EbpfLoader, TestRun, TestRunOptions,
    maps::{
        HashMap, Map, MapData,
        lpm_trie::{Key, LpmTrie},
    },
    programs::{Program, Xdp},
};
use policy::{Direction, Flow, image::Bucket};

use crate::{
    abi::{Bulk as Cell, halves},
    enforcer::Hook,
    kernel::Kernel,
    object::with_sources,
    pin::Pins,
    sizes::{Placement, TableSizes},
    sys::{self, Mapped},
};

pub use crate::failpoint::FAILPOINTS;
pub use native::{Native, Ran, Run, Wire};
pub use twins::{Arrival, TwinError, Twins};

/// The object file, as clang made it.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.bpf.o"));

/// Tuples that are classified in one run.
pub const BULK_MAX: usize = 16_384;
const CELL_WORDS: usize = size_of::<Cell>() / 4;

/// Puts a program that is pinned behind a link that is pinned, as anybody can who has the right to.
///
/// # Errors
/// Those of bpf(2).
pub fn exchange_program(link: &Path, program: &Path) -> io::Result<()> {
    sys::update_link(&sys::open_pinned(link)?, &sys::open_pinned(program)?)
}

/// Loads every program of every object, also those that this kernel would not use, and says how many instructions the verifier went through
/// for each. `bpffs` is a directory on a BPF file system in which nothing else is.
///
/// # Errors
/// If the kernel refuses one; the text names it and has the verifier's words.
pub fn load_every_program(bpffs: &Path, sizes: TableSizes) -> Result<Vec<(String, u32)>, BenchError> {
    let placement = Placement { sizes, cpus: crate::kernel::possible_cpus() };
    let pins = Pins::prepare(bpffs, placement.fingerprint()).map_err(|error| failed(&error))?;
    let values = crate::object::make_maps(&pins, &placement).map_err(|error| failed(&error))?;
    let mut verified = Vec::new();
    for object in [crate::object::OBJECT, OBJECT] {
        let mut loader = EbpfLoader::new();
        for (name, entries) in crate::object::entries(&placement) {
            loader.map_max_entries(name, entries).map_pin_path(name, pins.map(name));
        }
        let object = crate::object::with_settings(object, &placement, &values);
        let mut ebpf = loader.load(&object).map_err(|error| failed(&error))?;
        for (name, program) in ebpf.programs_mut() {
            let info = match program {
                Program::Xdp(program) => program.load().and_then(|()| program.info()),
                Program::SchedClassifier(program) => program.load().and_then(|()| program.info()),
                _ => return Err(BenchError(format!("{name} is of a kind that is not known here"))),
            };
            let info = info.map_err(|error| BenchError(format!("{name}: {}", with_sources(&error))))?;
            verified.push((name.to_owned(), info.verified_instruction_count().unwrap_or(0)));
        }
    }
    pins.remove_all().map_err(|error| failed(&error))?;
    Ok(verified)
}

/// What the kernel's tables say of a tuple, direction by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkAnswer {
    /// Flags of the destination's ingress, `FLAG_*` of the image.
    pub in_flags: u32,
    /// Flags of the source's egress.
    pub out_flags: u32,
    /// The deciding rules, ingress and egress.
    pub rules: (u32, u32),
    /// The rules that would decide if observing policies were enforced.
    pub trial: (u32, u32),
}

/// The programs of `bpf/bench.bpf.c` on the maps of an open kernel data path.
pub struct Bench {
    ebpf: Ebpf,
    cells: Mapped,
    task: Mapped,
}

/// Something of the bench failed; the text says what.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BenchError(String);

fn failed(error: &dyn std::error::Error) -> BenchError {
    BenchError(with_sources(error))
}

impl Bench {
    /// Loads them. Nothing is attached.
    ///
    /// # Errors
    /// If the kernel refuses; `bpf_loop` takes Linux 5.17.
    pub fn open(kernel: &Kernel) -> Result<Bench, BenchError> {
        let mut loader = EbpfLoader::new();
        let entries = kernel.map_entries();
        for (name, count) in &entries {
            loader.map_max_entries(name, *count).map_pin_path(name, kernel.map_pin(name));
        }
        let object = kernel.with_settings(OBJECT);
        let mut ebpf = loader.load(&object).map_err(|error| failed(&error))?;
        for (_, program) in ebpf.programs_mut() {
            if let Program::Xdp(program) = program {
                program.load().map_err(|error| failed(&error))?;
            }
        }
        let mapped = |name: &str, words| match ebpf.map(name) {
            Some(Map::Array(data)) => Mapped::new(data.fd(), words).map_err(|error| failed(&error)),
            _ => Err(BenchError(format!("no array {name}"))),
        };
        let (cells, task) = (mapped("hr_bulk", BULK_MAX * CELL_WORDS)?, mapped("hr_bulk_task", 4)?);
        Ok(Bench { ebpf, cells, task })
    }

    /// Puts tuples, at most [`BULK_MAX`], where the loops read them; `generation` says whose half of the tables is meant.
    pub fn set_tuples(&mut self, generation: u32, flows: &[Flow]) {
        assert!(flows.len() <= BULK_MAX, "{} tuples are too many", flows.len());
        for (index, flow) in flows.iter().enumerate() {
            let ((src_hi, src_lo), (dst_hi, dst_lo)) = (halves(flow.src), halves(flow.dst));
            let first = index * size_of::<Cell>() / 8;
            for (offset, word) in [src_hi, src_lo, dst_hi, dst_lo].into_iter().enumerate() {
                self.cells.store64(first + offset, word);
            }
            let tail = u32::from(flow.dst_port) | u32::from(flow.protocol) << 16 | u32::from(flow.src.is_ipv6()) << 24;
            self.cells.store(index * CELL_WORDS + 8, tail);
        }
        self.task.store64(0, flows.len() as u64);
        self.task.store64(1, u64::from(generation));
    }

    /// Classifies the tuples in the kernel.
    ///
    /// # Errors
    /// If the kernel refuses the run.
    pub fn classify(&mut self, generation: u32, flows: &[Flow]) -> Result<Vec<BulkAnswer>, BenchError> {
        let mut answers = Vec::with_capacity(flows.len());
        for part in flows.chunks(BULK_MAX) {
            self.set_tuples(generation, part);
            self.time("hr_bulk_classify", &[0; 64], 1)?;
            answers.extend((0..part.len()).map(|index| self.answer(index)));
        }
        Ok(answers)
    }

    /// Charges packets to one bucket that begins full; each is the time in nanoseconds and its segments. Which of them pass.
    ///
    /// # Errors
    /// If the kernel refuses the run.
    pub fn charge(&mut self, bucket: Bucket, packets: &[(u64, u32)]) -> Result<Vec<bool>, BenchError> {
        assert!(packets.len() <= BULK_MAX, "{} packets are too many", packets.len());
        for (index, (now_ns, segments)) in packets.iter().enumerate() {
            self.cells.store64(index * size_of::<Cell>() / 8, *now_ns);
            for (offset, word) in [bucket.interval_ns, bucket.burst, *segments].into_iter().enumerate() {
                self.cells.store(index * CELL_WORDS + 9 + offset, word);
            }
        }
        self.task.store64(0, packets.len() as u64);
        self.time("hr_bulk_charge", &[0; 64], 1)?;
        Ok((0..packets.len()).map(|index| self.cells.load(index * CELL_WORDS + 12) != 0).collect())
    }

    fn answer(&self, index: usize) -> BulkAnswer {
        let word = |offset: usize| self.cells.load(index * CELL_WORDS + 9 + offset);
        BulkAnswer { in_flags: word(0), out_flags: word(1), rules: (word(2), word(3)), trial: (word(4), word(5)) }
    }

    /// Nanoseconds for one run of a program on a frame, as the kernel measures over `repeat` runs, and what it returned.
    ///
    /// # Errors
    /// If there is no such program, or the kernel refuses.
    pub fn time(&self, program: &str, frame: &[u8], repeat: u32) -> Result<(u64, u32), BenchError> {
        match self.ebpf.program(program) {
            Some(Program::Xdp(program)) => time_xdp(program, frame, repeat),
            _ => Err(BenchError(format!("no program {program}"))),
        }
    }

    /// Gives the reference the same prefixes, each with an identity.
    ///
    /// # Errors
    /// If a map is full.
    pub fn set_reference(
        &mut self,
        prefixes: &BTreeMap<(std::net::Ipv4Addr, u8), u32>,
        verdicts: &BTreeMap<(u32, u32, u16), u32>,
    ) -> Result<(), BenchError> {
        let lpm = self.ebpf.map_mut("hr_ref_lpm").ok_or_else(|| BenchError("no trie".to_owned()))?;
        let mut lpm: LpmTrie<&mut MapData, u32, u32> =
            lpm.try_into().map_err(|error: aya::maps::MapError| failed(&error))?;
        for ((address, bits), identity) in prefixes {
            let key = Key::new(u32::from(*bits), u32::from_ne_bytes(address.octets()));
            lpm.insert(&key, identity, 0).map_err(|error| failed(&error))?;
        }
        let policy = self.ebpf.map_mut("hr_ref_policy").ok_or_else(|| BenchError("no hash".to_owned()))?;
        let mut policy: HashMap<&mut MapData, [u32; 3], u32> =
            policy.try_into().map_err(|error: aya::maps::MapError| failed(&error))?;
        for ((src, dst, port), verdict) in verdicts {
            policy.insert([*src, *dst, u32::from(*port)], verdict, 0).map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

fn time_xdp(program: &Xdp, frame: &[u8], repeat: u32) -> Result<(u64, u32), BenchError> {
    let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
    let result = program.test_run(options).map_err(|error| failed(&error))?;
    Ok((u64::try_from(result.duration.as_nanos()).unwrap_or(u64::MAX), result.return_value))
}

impl Kernel {
    /// Runs the live ingress program on a frame: it counts and remembers as it does with real packets. Nanoseconds for one run, and
    /// what it returned.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn time_live(&self, frame: &[u8], repeat: u32) -> Result<(u64, u32), BenchError> {
        match self.object().program(self.object().xdp) {
            Some(Program::Xdp(program)) => time_xdp(program, frame, repeat),
            _ => Err(BenchError("no XDP program".to_owned())),
        }
    }

    /// Runs the live ingress program on a frame on so many threads at once, `repeat` times each.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn hammer_live(&self, frame: &[u8], repeat: u32, threads: usize) -> Result<(), BenchError> {
        let Some(Program::Xdp(program)) = self.object().program(self.object().xdp) else {
            return Err(BenchError("no XDP program".to_owned()));
        };
        std::thread::scope(|scope| {
            let runs: Vec<_> = (0..threads).map(|_| scope.spawn(|| time_xdp(program, frame, repeat))).collect();
            runs.into_iter().try_for_each(|run| run.join().expect("a test run does not panic").map(drop))
        })
    }

    /// Runs the live egress program on a frame, likewise.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn time_live_egress(&self, frame: &[u8], repeat: u32) -> Result<(u64, u32), BenchError> {
        self.run_egress(TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() })
    }

    /// Lets the live program of a hook see a frame as if it had come through that interface. The XDP program must be attached to it in
    /// the driver.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn pass_live(&self, hook: Hook, frame: &[u8]) -> Result<(), BenchError> {
        self.pass_live_as(hook, frame, Carriage::default())
    }

    /// The same with what the kernel knows of a packet beyond its bytes; only what leaves has that.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn pass_live_as(&self, hook: Hook, frame: &[u8], carriage: Carriage) -> Result<(), BenchError> {
        let length = u32::try_from(frame.len()).map_err(|error| failed(&error))?;
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let xdp = words(&[0, length, 0, hook.ifindex, 0, 0]);
        // `struct __sk_buff` up to gso_segs.
        let mut skb = [0; 42];
        (skb[9], skb[10], skb[41]) = (carriage.came_in, hook.ifindex, carriage.segments);
        let skb = words(&skb);
        let context = if hook.direction == Direction::Ingress { &xdp } else { &skb };
        let options = TestRunOptions { data_in: Some(frame), ctx_in: Some(context), ..TestRunOptions::new() };
        match self.object().program(self.object().xdp) {
            Some(Program::Xdp(program)) if hook.direction == Direction::Ingress => {
                program.test_run(options).map(drop).map_err(|error| failed(&error))
            }
            _ => self.run_egress(options).map(drop),
        }
    }

    fn run_egress(&self, options: TestRunOptions<'_>) -> Result<(u64, u32), BenchError> {
        let Some(Program::SchedClassifier(program)) = self.object().program(crate::object::EGRESS) else {
            return Err(BenchError("no egress program".to_owned()));
        };
        let result = program.test_run(options).map_err(|error| failed(&error))?;
        Ok((u64::try_from(result.duration.as_nanos()).unwrap_or(u64::MAX), result.return_value))
    }
}

/// What the kernel knows of a packet that leaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Carriage {
    /// The interface through which it came; 0: sent from here.
    pub came_in: u32,
    /// Segments of a large one; 0 and 1: it is none.
    pub segments: u32,
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A flow between two addresses, each with its port.
///
/// # Panics
/// If one of them is not an address.
pub fn flow_of(src: (&str, u16), dst: (&str, u16), protocol: u8) -> Flow {
    let addr = |text: &str| text.parse().expect("an address");
    Flow { src: addr(src.0), dst: addr(dst.0), protocol, src_port: src.1, dst_port: dst.1 }
}

/// An Ethernet frame with a TCP, UDP, SCTP or ICMP packet of a flow, or one of another protocol, with a few bytes behind it.
pub fn frame_of(flow: &Flow, tcp_flags: u8) -> Vec<u8> {
    let body = transport_of(flow, tcp_flags);
    let length = u16::try_from(body.len()).expect("a few dozen bytes");
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    match (flow.src, flow.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend((length + 20).to_be_bytes());
            frame.extend([0, 7, 0, 0, 64, flow.protocol, 0, 0]);
            frame.extend(src.octets());
            frame.extend(dst.octets());
        }
        (src, dst) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([flow.protocol, 64]);
            frame.extend(v6(src));
            frame.extend(v6(dst));
        }
    }
    frame.extend(body);
    frame
}

fn v6(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => addr.octets(),
    }
}

fn transport_of(flow: &Flow, tcp_flags: u8) -> Vec<u8> {
    let mut body = Vec::new();
    let ports = [flow.src_port.to_be_bytes(), flow.dst_port.to_be_bytes()].concat();
    match flow.protocol {
        6 => {
            body.extend(ports);
            body.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, tcp_flags, 0xff, 0xff, 0, 0, 0, 0]);
        }
        17 => {
            body.extend(ports);
            body.extend([0, 12, 0, 0]);
        }
        132 => {
            body.extend(ports);
            body.extend([0; 8]);
        }
        1 | 58 => {
            body.extend(flow.dst_port.to_be_bytes());
            body.extend([0, 0, 0x12, 0x34, 0, 1]);
        }
        _ => {}
    }
    body.extend([0; 4]);
    body
}
