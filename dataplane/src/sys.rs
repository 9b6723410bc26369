//! The few bpf(2) commands that the library in use does not offer, and memory maps of arrays.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_LINK_DETACH: libc::c_long = 34;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const NAME_BYTES: usize = 16;

/// The beginning of `union bpf_attr` for BPF_MAP_CREATE, up to the name.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; NAME_BYTES],
}

#[repr(C)]
#[derive(Default)]
struct MapElement {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `BPF_F_BEFORE`: before all other programs of a TCX hook.
const BEFORE: u32 = 1 << 3;

/// Where a link attaches: `enum bpf_attach_type`, and flags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkKind {
    attach_type: u32,
    flags: u32,
}

impl LinkKind {
    const fn new(attach_type: u32, flags: u32) -> LinkKind {
        LinkKind { attach_type, flags }
    }

    /// XDP in the driver.
    pub(crate) const XDP_NATIVE: LinkKind = LinkKind::new(37, 1 << 2);
    /// XDP in the stack.
    pub(crate) const XDP_GENERIC: LinkKind = LinkKind::new(37, 1 << 1);
    /// TCX ingress, before all others.
    pub(crate) const TCX_INGRESS: LinkKind = LinkKind::new(46, BEFORE);
    /// TCX egress, before all others.
    pub(crate) const TCX_EGRESS: LinkKind = LinkKind::new(47, BEFORE);
}

/// The beginning of `union bpf_attr` for BPF_LINK_CREATE.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// The first interface of every network namespace.
const LOOPBACK: u32 = 1;

/// Programs that one TCX hook may have (`BPF_MPROG_MAX`).
const TCX_PROGRAMS_MAX: usize = 64;

#[repr(C)]
#[derive(Default)]
struct ProgramQuery {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    pad: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct ObjectPath {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoByFd {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// The beginning of `struct bpf_link_info`; the rest depends on the type, and for XDP and TCX begins with the interface.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct LinkInfo {
    pub(crate) link_type: u32,
    pub(crate) id: u32,
    pub(crate) program_id: u32,
    pad: u32,
    /// 0 when the link was detached or the interface is gone.
    pub(crate) ifindex: u32,
    rest: [u32; 11],
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attr` is a live object of the size given, laid out as the command expects; the kernel writes only inside it and
    // inside the buffers that it points to, which outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Creates a memory-mappable array with values of any size.
pub(crate) fn create_array(name: &str, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    let map_type = BPF_MAP_TYPE_ARRAY;
    create_map(name, MapCreate { map_type, value_size, max_entries, map_flags: BPF_F_MMAPABLE, ..MapCreate::default() })
}

/// Creates an array of one map, which is like another one.
pub(crate) fn create_array_of_maps(name: &str, like: &impl AsFd) -> io::Result<OwnedFd> {
    let (map_type, inner_map_fd) = (BPF_MAP_TYPE_ARRAY_OF_MAPS, raw(like)?);
    create_map(name, MapCreate { map_type, value_size: 4, max_entries: 1, inner_map_fd, ..MapCreate::default() })
}

fn create_map(name: &str, mut attr: MapCreate) -> io::Result<OwnedFd> {
    attr.key_size = 4;
    let length = name.len().min(NAME_BYTES - 1);
    attr.map_name[..length].copy_from_slice(&name.as_bytes()[..length]);
    owned(bpf(BPF_MAP_CREATE, &mut attr)?)
}

/// Puts a map into an array of maps, or a program into one of programs.
pub(crate) fn put_object(array: &impl AsFd, index: u32, object: &impl AsFd) -> io::Result<()> {
    let object = raw(object)?;
    let (key, value) = (std::ptr::from_ref(&index) as u64, std::ptr::from_ref(&object) as u64);
    let mut attr = MapElement { map_fd: raw(array)?, key, value, ..MapElement::default() };
    bpf(BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// The number of what an array of programs or maps has at an index.
pub(crate) fn object_at(array: &impl AsFd, index: u32) -> io::Result<u32> {
    let mut number = 0_u32;
    let (key, value) = (std::ptr::from_ref(&index) as u64, std::ptr::from_mut(&mut number) as u64);
    let mut attr = MapElement { map_fd: raw(array)?, key, value, ..MapElement::default() };
    bpf(BPF_MAP_LOOKUP_ELEM, &mut attr)?;
    Ok(number)
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program to an interface.
pub(crate) fn create_link(program: &impl AsFd, ifindex: u32, kind: LinkKind) -> io::Result<OwnedFd> {
    let LinkKind { attach_type, flags } = kind;
    let mut attr = LinkCreate { prog_fd: raw(program)?, target_ifindex: ifindex, attach_type, flags };
    owned(bpf(BPF_LINK_CREATE, &mut attr)?)
}

/// Exchanges the program of a link: every packet meets the old one or the new one.
pub(crate) fn update_link(link: &impl AsFd, program: &impl AsFd) -> io::Result<()> {
    let mut attr = LinkUpdate { link_fd: raw(link)?, new_prog_fd: raw(program)?, ..LinkUpdate::default() };
    bpf(BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// Takes the program of a link off its hook at once; a link that is only let go of is taken off a moment later.
pub(crate) fn detach_link(link: &impl AsFd) -> io::Result<()> {
    // The attributes of this command are the first word of those of an update.
    let mut attr = LinkUpdate { link_fd: raw(link)?, ..LinkUpdate::default() };
    bpf(BPF_LINK_DETACH, &mut attr).map(drop)
}

/// Pins an object at a path.
pub(crate) fn pin_object(object: &impl AsFd, path: &Path) -> io::Result<()> {
    let name = c_path(path)?;
    let mut attr = ObjectPath { pathname: name.as_ptr() as u64, bpf_fd: raw(object)?, file_flags: 0 };
    bpf(BPF_OBJ_PIN, &mut attr).map(drop)
}

/// Opens the object pinned at a path.
pub(crate) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let name = c_path(path)?;
    let mut attr = ObjectPath { pathname: name.as_ptr() as u64, ..ObjectPath::default() };
    owned(bpf(BPF_OBJ_GET, &mut attr)?)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Whether the kernel has TCX (6.6): one that has not knows no such question.
pub(crate) fn has_tcx() -> bool {
    tcx_programs(LOOPBACK, LinkKind::TCX_EGRESS).is_ok()
}

/// The programs of a TCX hook, in the order in which packets meet them, by the kernel's numbers. Takes CAP_NET_ADMIN; learning more of
/// them would take more.
pub(crate) fn tcx_programs(ifindex: u32, kind: LinkKind) -> io::Result<Vec<u32>> {
    let mut ids = [0; TCX_PROGRAMS_MAX];
    let mut attr = ProgramQuery {
        target_ifindex: ifindex,
        attach_type: kind.attach_type,
        prog_ids: ids.as_mut_ptr() as u64,
        count: u32::try_from(ids.len()).expect("a few dozen"),
        ..ProgramQuery::default()
    };
    bpf(BPF_PROG_QUERY, &mut attr)?;
    Ok(ids[..ids.len().min(attr.count as usize)].to_vec())
}

/// What the kernel says of a link.
pub(crate) fn link_info(link: &impl AsFd) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut attr = InfoByFd {
        fd: raw(link)?,
        info_len: u32::try_from(size_of::<LinkInfo>()).expect("a few dozen bytes"),
        info: std::ptr::from_mut(&mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

fn raw(fd: &impl AsFd) -> io::Result<u32> {
    u32::try_from(fd.as_fd().as_raw_fd()).map_err(io::Error::other)
}

/// `membarrier` with MEMBARRIER_CMD_GLOBAL: see [`crate::grace`].
pub(crate) fn membarrier_global() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: a system call without pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The kernel's number of a map, program or link, each of a kind of its own.
pub(crate) fn object_id(object: &impl AsFd) -> io::Result<u32> {
    // Every `struct bpf_*_info` begins with the type and the number.
    let mut info = [0u32; 2];
    let mut attr = InfoByFd {
        fd: raw(object)?,
        info_len: u32::try_from(size_of_val(&info)).expect("a few bytes"),
        info: std::ptr::from_mut(&mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info[1])
}

/// The memory of an array map. Programs read it concurrently; this process is the only one that writes what programs only read.
#[derive(Debug)]
pub(crate) struct Mapped {
    start: NonNull<u32>,
    words: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; all writing goes through `&mut self` or atomics.
unsafe impl Send for Mapped {}

impl Mapped {
    /// Maps `words` words of the array.
    pub(crate) fn new(map: &impl AsFd, words: usize) -> io::Result<Mapped> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory that Rust knows of.
        let start = unsafe { mmap(std::ptr::null_mut(), words * size_of::<u32>(), protection, flags, map, 0) }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned null"))?;
        Ok(Mapped { start, words })
    }

    /// Words from `first` on.
    pub(crate) fn read(&self, first: usize, count: usize) -> &[u32] {
        assert!(first + count <= self.words, "read beyond a map of {} words", self.words);
        // SAFETY: inside the mapping, aligned to pages; while the slice lives nobody writes, for that takes `&mut self` and
        // programs only read the maps that are read in this way.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(first), count) }
    }

    /// Stores words from `first` on.
    pub(crate) fn write(&mut self, first: usize, words: &[u32]) {
        assert!(first + words.len() <= self.words, "write beyond a map of {} words", self.words);
        // SAFETY: inside the mapping; `&mut self` excludes every slice from `read`. Programs do not read what is being written:
        // it is the idle half, or a word of its own that `store` publishes.
        unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), self.start.as_ptr().add(first), words.len()) }
    }

    /// Sets words to 0.
    pub(crate) fn clear(&mut self, first: usize, count: usize) {
        assert!(first + count <= self.words, "write beyond a map of {} words", self.words);
        // SAFETY: as for `write`.
        unsafe { std::ptr::write_bytes(self.start.as_ptr().add(first), 0, count) }
    }

    /// One word, in one piece.
    pub(crate) fn load(&self, word: usize) -> u32 {
        assert!(word < self.words, "read beyond a map of {} words", self.words);
        // SAFETY: inside the mapping and aligned; programs access it as a whole word too.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(word)) }.load(Ordering::Acquire)
    }

    /// Stores one word in one piece, after everything that was stored before.
    pub(crate) fn store(&self, word: usize, value: u32) {
        assert!(word < self.words, "write beyond a map of {} words", self.words);
        // SAFETY: as for `load`.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(word)) }.store(value, Ordering::Release);
    }

    /// One 64-bit word, which a program may be counting up, by its number.
    pub(crate) fn load64(&self, index: usize) -> u64 {
        self.cell64(index).load(Ordering::Relaxed)
    }

    /// Stores one 64-bit word by its number.
    pub(crate) fn store64(&self, index: usize, value: u64) {
        self.cell64(index).store(value, Ordering::Release);
    }

    /// Raises one 64-bit word that programs change too, by its number.
    pub(crate) fn raise64(&self, index: usize, least: u64) {
        self.cell64(index).fetch_max(least, Ordering::AcqRel);
    }

    fn cell64(&self, index: usize) -> &AtomicU64 {
        assert!(index * 2 + 2 <= self.words, "access beyond a map of {} words", self.words);
        // SAFETY: inside the mapping, which begins at a page, so multiples of 8 bytes are aligned.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().cast::<u64>().add(index)) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and every slice borrows from self.
        if let Err(error) = unsafe { munmap(self.start.as_ptr().cast(), self.words * size_of::<u32>()) } {
            tracing::warn!(%error, "a map could not be unmapped");
        }
    }
}
