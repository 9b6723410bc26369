//! The compiled programs: loading them with their maps, and running the probes.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf, EbpfLoader, TestRun, TestRunOptions,
    maps::{HashMap, Map, MapData},
    programs::{Program, ProgramFd, SchedClassifier},
};
use policy::{Direction, TableId};

use crate::{
    abi::{Buckets, Cpu, Gate, HOOKS, Live, Probe, TimeoutTicks},
    enforcer::Hook,
    error::{JudgeError, OpenError},
    events::RING_BYTES,
    failpoint::failpoint,
    judged::JUDGED_MAX,
    pin::Pins,
    settings::{self, VALUES},
    sizes::{IMAGE_BYTES_OLD_KERNELS_MAX, Placement},
    sys::{self, Mapped},
};

/// The object file, as clang made it.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hedgerow.bpf.o"));

/// Shortest frame that the kernel runs a program on.
pub(crate) const FRAME_BYTES_MIN: usize = 14;
/// Longest frame that is judged by test run: XDP takes no more than a page less its overhead.
pub(crate) const FRAME_BYTES_MAX: usize = 3_400;

/// Every program that is attached somewhere, in the kinds that kernels know.
pub(crate) const XDP_FRAGS: &str = "hr_xdp_frags";
pub(crate) const XDP: &str = "hr_xdp";
pub(crate) const INGRESS: &str = "hr_ingress";
pub(crate) const EGRESS: &str = "hr_egress";
pub(crate) const GUARD_INGRESS: &str = "hr_guard_ingress";
pub(crate) const GUARD_EGRESS: &str = "hr_guard_egress";
pub(crate) const ASK_XDP: &str = "hr_ask_xdp";
pub(crate) const ASK_INGRESS: &str = "hr_ask_ingress";
pub(crate) const ASK_EGRESS: &str = "hr_ask_egress";
const CLOCK: &str = "hr_clock";

/// The programs of the guard alone.
const GUARDS: [&str; 2] = [GUARD_INGRESS, GUARD_EGRESS];

/// The map with the programs to which the guard's hand on.
const HANDED_ON: &str = "hr_policy";

/// The program that judges by policy under traffic control.
pub(crate) fn policy_program(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => INGRESS,
        Direction::Egress => EGRESS,
    }
}

/// Largest number of guard entries; see [`policy::guard::GUARD_ENTRIES_MAX`]. Twice that, for the old and the new guard live side by side.
pub(crate) const GUARD_MAP_ENTRIES: usize = 2 * policy::guard::GUARD_ENTRIES_MAX;
/// Likewise against spoofing.
pub(crate) const SPOOF_MAP_ENTRIES: usize = 2 * policy::guard::SPOOF_ENTRIES_MAX;

/// Places of VLANs below attached devices: up to two for each VLAN that is configured, and for a moment twice that, for what is new is added
/// first.
const VLAN_MAP_ENTRIES: u32 = 1_024;

/// Programs and maps, loaded.
pub(crate) struct Object {
    ebpf: Ebpf,
    values: [OwnedFd; VALUES.len()],
    /// Second copies of programs, where they were needed: see [`Self::copy_not_among`].
    copies: BTreeMap<&'static str, OwnedFd>,
    /// The XDP program that this kernel takes.
    pub(crate) xdp: &'static str,
    /// The programs of the guard alone; none where the kernel has no TCX, for which they are.
    guards: &'static [&'static str],
}

impl Object {
    /// Loads every program on the maps pinned, making those that are missing.
    pub(crate) fn load(pins: &Pins, placement: &Placement) -> Result<Object, OpenError> {
        let values = make_maps(pins, placement)?;
        let mut loader = EbpfLoader::new();
        for (name, entries) in entries(placement) {
            loader.map_max_entries(name, entries).map_pin_path(name, pins.map(name));
        }
        let object = with_settings(OBJECT, placement, &values);
        let mut ebpf = loader.load(&object).map_err(|error| refused("hedgerow.bpf.o", &error))?;
        let guards: &[&str] = if sys::has_tcx() { &GUARDS } else { &[] };
        for name in [ASK_XDP, ASK_INGRESS, ASK_EGRESS, CLOCK, INGRESS, EGRESS].iter().chain(guards) {
            load_program(&mut ebpf, name)?;
        }
        // Kernels before 5.18 know no multi-buffer XDP.
        let xdp = if load_program(&mut ebpf, XDP_FRAGS).is_ok() { XDP_FRAGS } else { XDP };
        if xdp == XDP {
            load_program(&mut ebpf, XDP)?;
        }
        failpoint("loaded");
        let object = Object { ebpf, values, copies: BTreeMap::new(), xdp, guards };
        object.hand_on().map_err(|source| OpenError::Map { map: HANDED_ON.to_owned(), source })?;
        failpoint("handed-on");
        Ok(object)
    }

    /// Puts the policy's programs where the guard's hand on to; the directions in which another was there, or none.
    pub(crate) fn hand_on(&self) -> io::Result<Vec<Direction>> {
        let Some(Map::ProgramArray(array)) = self.ebpf.map(HANDED_ON) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut changed = Vec::new();
        for (slot, direction) in (0..).zip([Direction::Ingress, Direction::Egress]) {
            let program = self.program_fd(policy_program(direction))?;
            if sys::object_at(array.fd(), slot).ok() != Some(sys::object_id(program)?) {
                sys::put_object(array.fd(), slot, program)?;
                changed.push(direction);
            }
        }
        Ok(changed)
    }

    /// Another object file for the same maps.
    pub(crate) fn with_settings(&self, object: &[u8], placement: &Placement) -> Vec<u8> {
        with_settings(object, placement, &self.values)
    }

    /// The memory of an array map.
    pub(crate) fn mapped(&self, name: &str, words: usize) -> Result<Mapped, OpenError> {
        let failed = |source| OpenError::Map { map: name.to_owned(), source };
        match self.ebpf.map(name) {
            Some(Map::Array(data)) => Mapped::new(data.fd(), words).map_err(failed),
            _ => Err(failed(io::ErrorKind::NotFound.into())),
        }
    }

    /// Takes a map out.
    pub(crate) fn take(&mut self, name: &str) -> Result<Map, OpenError> {
        let missing = || OpenError::Map { map: name.to_owned(), source: io::ErrorKind::NotFound.into() };
        self.ebpf.take_map(name).ok_or_else(missing)
    }

    /// A map that is not what it should be.
    pub(crate) fn unusable(name: &str, error: &dyn std::error::Error) -> OpenError {
        OpenError::Map { map: name.to_owned(), source: io::Error::other(with_sources(error)) }
    }

    /// Takes a hash map out.
    pub(crate) fn hash<K: aya::Pod, V: aya::Pod>(&mut self, name: &str) -> Result<HashMap<MapData, K, V>, OpenError> {
        HashMap::try_from(self.take(name)?).map_err(|error| Object::unusable(name, &error))
    }

    /// A program by name.
    pub(crate) fn program(&self, name: &str) -> Option<&Program> {
        self.ebpf.program(name)
    }

    /// The descriptor of a loaded program.
    pub(crate) fn program_fd(&self, name: &str) -> io::Result<&ProgramFd> {
        let fd = match self.ebpf.program(name) {
            Some(Program::Xdp(program)) => program.fd(),
            Some(Program::SchedClassifier(program)) => program.fd(),
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        fd.map_err(io::Error::other)
    }

    /// A traffic control program, loaded.
    pub(crate) fn tc_program(&mut self, name: &str) -> &mut SchedClassifier {
        let program = self.ebpf.program_mut(name).and_then(|program| program.try_into().ok());
        program.expect("the object has this program, and load() loaded it")
    }

    /// A copy of a traffic control program that is none of those: a TCX hook takes each program only once (`bpf_mprog_attach` in
    /// kernel/bpf/mprog.c), and to change its place without a gap it has to be there twice for a moment.
    pub(crate) fn copy_not_among(&mut self, name: &'static str, there: &[u32]) -> io::Result<OwnedFd> {
        let free = |copy: &OwnedFd| sys::object_id(copy).is_ok_and(|id| !there.contains(&id));
        let loaded = self.program_fd(name).and_then(|fd| fd.as_fd().try_clone_to_owned());
        if let Some(copy) = loaded.as_ref().ok().into_iter().chain(self.copies.get(name)).find(|copy| free(copy)) {
            return copy.try_clone();
        }
        self.load_again(name)?;
        self.program_fd(name)?.as_fd().try_clone_to_owned()
    }

    /// Whether a program is a copy of this one that was loaded here.
    pub(crate) fn is_copy(&self, name: &str, id: u32) -> bool {
        let loaded = self.program_fd(name).and_then(sys::object_id);
        loaded.is_ok_and(|loaded| loaded == id)
            || self.copies.get(name).is_some_and(|copy| sys::object_id(copy).is_ok_and(|copy| copy == id))
    }

    /// Loads a second copy of one of these programs, if one has none yet or the last try failed: verifying takes long, and whoever has to
    /// change its place is in a hurry.
    pub(crate) fn load_a_copy(&mut self, mut names: impl Iterator<Item = &'static str>) -> io::Result<()> {
        let without = names.find(|name| !self.copies.contains_key(name) || self.program_fd(name).is_err());
        without.map_or(Ok(()), |name| self.load_again(name))
    }

    fn load_again(&mut self, name: &'static str) -> io::Result<()> {
        if let Ok(first) = self.program_fd(name).and_then(|fd| fd.as_fd().try_clone_to_owned()) {
            // What is attached keeps the first copy in the kernel, whoever lets go of it here.
            self.tc_program(name).unload().map_err(io::Error::other)?;
            self.copies.insert(name, first);
        }
        self.tc_program(name).load().map_err(|error| io::Error::other(with_sources(&error)))
    }

    /// Name and tag of each program that is loaded.
    pub(crate) fn tags(&self) -> Result<Vec<(String, u64)>, String> {
        let mut tags = Vec::new();
        for (name, program) in self.ebpf.programs() {
            let info = match program {
                Program::Xdp(program) if name == self.xdp || name == ASK_XDP => program.info(),
                Program::SchedClassifier(program) if !GUARDS.contains(&name) || !self.guards.is_empty() => {
                    program.info()
                }
                _ => continue,
            };
            tags.push((name.to_owned(), info.map_err(|error| with_sources(&error))?.tag()));
        }
        tags.sort();
        Ok(tags)
    }

    /// The programs that are attached or handed on to.
    fn in_force(&self) -> impl Iterator<Item = &'static str> {
        [self.xdp, INGRESS, EGRESS].into_iter().chain(self.guards.iter().copied())
    }

    /// Whether the programs in force are pinned.
    pub(crate) fn programs_pinned(&self, pins: &Pins) -> bool {
        self.in_force().all(|name| pins.program(name).exists())
    }

    /// Pins the programs in force, replacing the pins of their predecessors.
    pub(crate) fn pin_programs(&self, pins: &Pins) -> Result<(), OpenError> {
        for name in self.in_force() {
            let path = pins.program(name);
            let done = remove_if_there(&path).and_then(|()| sys::pin_object(self.program_fd(name)?, &path));
            done.map_err(|error| refused(name, &error))?;
        }
        failpoint("programs-pinned");
        Ok(())
    }

    /// Runs the probe of a hook on a frame. The question and the answer are in the probe map.
    pub(crate) fn ask(&self, hook: Hook, xdp: bool, frame: &[u8]) -> Result<(), JudgeError> {
        check_length(frame)?;
        let options = || TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        let result = match hook.direction {
            Direction::Ingress if xdp => run_xdp(&self.ebpf, ASK_XDP, options()),
            Direction::Ingress => run_tc(&self.ebpf, ASK_INGRESS, options()),
            Direction::Egress => run_tc(&self.ebpf, ASK_EGRESS, options()),
        };
        result.map_err(JudgeError::TestRun)
    }

    /// Jiffies and monotonic nanoseconds at one moment are left in the probe map.
    pub(crate) fn read_clocks(&self) -> Result<(), JudgeError> {
        let frame = [0; FRAME_BYTES_MIN];
        run_tc(&self.ebpf, CLOCK, TestRunOptions { data_in: Some(&frame), ..TestRunOptions::new() })
            .map_err(JudgeError::TestRun)
    }
}

fn check_length(frame: &[u8]) -> Result<(), JudgeError> {
    if (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&frame.len()) {
        return Ok(());
    }
    Err(JudgeError::Length { bytes: frame.len(), min: FRAME_BYTES_MIN, max: FRAME_BYTES_MAX })
}

fn run_xdp(ebpf: &Ebpf, name: &str, options: TestRunOptions<'_>) -> Result<(), String> {
    match ebpf.program(name) {
        Some(Program::Xdp(program)) => program.test_run(options).map(drop).map_err(|error| with_sources(&error)),
        _ => Err(format!("no XDP program {name}")),
    }
}

fn run_tc(ebpf: &Ebpf, name: &str, options: TestRunOptions<'_>) -> Result<(), String> {
    match ebpf.program(name) {
        Some(Program::SchedClassifier(program)) => {
            program.test_run(options).map(drop).map_err(|error| with_sources(&error))
        }
        _ => Err(format!("no traffic control program {name}")),
    }
}

fn load_program(ebpf: &mut Ebpf, name: &str) -> Result<(), OpenError> {
    let result = match ebpf.program_mut(name) {
        Some(Program::Xdp(program)) => program.load(),
        Some(Program::SchedClassifier(program)) => program.load(),
        _ => {
            return Err(OpenError::Program { program: name.to_owned(), message: "it is not in the object".to_owned() });
        }
    };
    result.map_err(|error| refused(name, &error))
}

fn refused(program: &str, error: &dyn std::error::Error) -> OpenError {
    OpenError::Program { program: program.to_owned(), message: with_sources(error) }
}

/// An error with everything that caused it.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// An object file with everything in it that the loader does not know.
pub(crate) fn with_settings(object: &[u8], placement: &Placement, values: &[OwnedFd; VALUES.len()]) -> Vec<u8> {
    settings::written_into(object, placement, &std::array::from_fn(|index| values[index].as_raw_fd()))
}

/// The loader can neither set the size of a value nor have one addressed, so these maps are made here; the loader then finds them pinned.
/// The maps of [`VALUES`].
pub(crate) fn make_maps(pins: &Pins, placement: &Placement) -> Result<[OwnedFd; VALUES.len()], OpenError> {
    let mut values = Vec::with_capacity(VALUES.len());
    for name in VALUES {
        let (bytes, entries) = value_shape(name, placement);
        values.push(make_map(pins, name, bytes, entries)?);
    }
    let mut values: [OwnedFd; VALUES.len()] = values.try_into().expect("one for each name");
    let place = |name| VALUES.iter().position(|value| *value == name).expect("it is one of them");
    if !placement.rules_inside() {
        // The kernel gives no address in a map of more values, also where no packet comes by.
        let stand_in = values[place("hr_cpus")].try_clone();
        values[place("hr_rules")] = stand_in.map_err(|error| refused("hr_rules", &error))?;
    }
    Ok(values)
}

/// Bytes of a value, and how many there are.
pub(crate) fn value_shape(name: &str, placement: &Placement) -> (usize, u32) {
    let bytes = match name {
        "hr_live" => size_of::<Live>(),
        "hr_gate" => size_of::<Gate>(),
        "hr_timeouts" => size_of::<TimeoutTicks>(),
        "hr_cpus" => placement.cpus() * size_of::<Cpu>(),
        "hr_rules" => return placement.rules_shape(),
        "hr_buckets" => placement.elements(TableId::Limits) * size_of::<Buckets>(),
        _ => placement.image_words() * size_of::<u32>(),
    };
    (bytes, 1)
}

fn make_map(pins: &Pins, name: &'static str, bytes: usize, entries: u32) -> Result<OwnedFd, OpenError> {
    let path = pins.map(name);
    let failed = |source| OpenError::Map { map: name.to_owned(), source };
    if path.exists() {
        return sys::open_pinned(&path).map_err(failed);
    }
    let too_large = |max| OpenError::TooLarge { map: name, bytes, max };
    let size = u32::try_from(bytes).map_err(|_| too_large(u32::MAX as usize))?;
    let map = sys::create_array(name, size, entries).map_err(|error| match error.raw_os_error() {
        Some(libc::E2BIG) if bytes > IMAGE_BYTES_OLD_KERNELS_MAX => too_large(IMAGE_BYTES_OLD_KERNELS_MAX),
        _ => failed(error),
    })?;
    failpoint("map-made");
    sys::pin_object(&map, &path).map_err(failed)?;
    failpoint("map-pinned");
    Ok(map)
}

/// Maps, by the number of entries that each has.
pub(crate) fn entries(placement: &Placement) -> Vec<(&'static str, u32)> {
    let sizes = placement.sizes;
    let count = |value: usize| u32::try_from(value).expect("a few thousand entries");
    vec![
        ("hr_live", 1),
        ("hr_meta", 2),
        ("hr_image_even", 1),
        ("hr_image_odd", 1),
        ("hr_chunks", count(2 * placement.chunk_words() / 256).max(1)),
        ("hr_rules", placement.rules_shape().1),
        ("hr_cpus", 1),
        ("hr_buckets", 1),
        ("hr_sources", sizes.sources),
        ("hr_judged", JUDGED_MAX),
        ("hr_gate", 1),
        ("hr_guard", count(GUARD_MAP_ENTRIES)),
        ("hr_join", count(2 * policy::guard::JOIN_ENTRIES_MAX)),
        ("hr_spoof", count(SPOOF_MAP_ENTRIES)),
        ("hr_vlan", VLAN_MAP_ENTRIES),
        ("hr_flows4", sizes.flows),
        ("hr_flows6", sizes.flows),
        ("hr_fragments", sizes.fragments),
        ("hr_sync_fragments", sizes.fragments),
        ("hr_events", RING_BYTES),
        ("hr_timeouts", 1),
        ("hr_probe", 1),
        (HANDED_ON, count(HOOKS)),
    ]
}

/// Words of the probe map.
pub(crate) const PROBE_WORDS: usize = size_of::<Probe>() / size_of::<u32>();
