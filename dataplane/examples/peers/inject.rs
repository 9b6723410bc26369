//! The few bpf(2) commands that injecting takes: programs of two instructions, links, and test runs whose frames are real and
//! leave by an interface (`BPF_F_TEST_XDP_LIVE_FRAMES`, Linux 5.18).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

use rustix::net::{AddressFamily, SocketType, socket};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
/// `r0 = imm` and `exit`.
const MOVE_R0: u64 = 0xb7;
const EXIT: u64 = 0x95;

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_SGRO: u32 = 0x2c;

/// What a program of two instructions answers, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    XdpDrop,
    XdpPass,
    /// Back out of the interface.
    XdpSend,
    /// On to the stack, past whatever is attached behind.
    TcxPass,
    /// On to what is attached behind, as Hedgerow's programs do.
    TcxNext,
}

impl Answer {
    /// Program type, where it attaches (type, and flags), and the number.
    fn words(self) -> (u32, u32, u32, u64) {
        // XDP in the driver.
        let xdp = |number| (6, 37, 1 << 2, number);
        match self {
            Answer::XdpDrop => xdp(1),
            Answer::XdpPass => xdp(2),
            Answer::XdpSend => xdp(3),
            Answer::TcxPass => (3, 46, 0, 0),
            Answer::TcxNext => (3, 46, 0, 0xffff_ffff),
        }
    }
}

#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

/// `struct xdp_md`.
#[repr(C)]
#[derive(Default)]
struct XdpMd {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// `struct ifreq` with a pointer in it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    data: *mut [u32; 2],
    pad: [u64; 2],
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attr` is a live object of the size given, laid out as the command expects; what it points to outlives the call, and
    // the kernel writes only inside it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(fd: libc::c_long) -> OwnedFd {
    let fd = i32::try_from(fd).expect("a descriptor");
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn raw(fd: impl AsFd) -> u32 {
    u32::try_from(fd.as_fd().as_raw_fd()).expect("descriptors are not negative")
}

/// Loads the program.
pub(crate) fn load(answer: Answer) -> OwnedFd {
    let (prog_type, _, _, number) = answer.words();
    let insns = [MOVE_R0 | number << 32, EXIT];
    let license = c"GPL";
    let mut attr = ProgLoad {
        prog_type,
        insn_cnt: 2,
        insns: insns.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..ProgLoad::default()
    };
    owned(bpf(BPF_PROG_LOAD, &mut attr).expect("the smallest program can be loaded"))
}

/// Attaches the program; it is detached when the answer is dropped.
pub(crate) fn attach(answer: Answer, ifindex: u32) -> OwnedFd {
    let (_, attach_type, flags, _) = answer.words();
    let program = load(answer);
    let mut attr = LinkCreate { prog_fd: raw(&program), target_ifindex: ifindex, attach_type, flags };
    owned(bpf(BPF_LINK_CREATE, &mut attr).expect("the smallest program can be attached"))
}

/// Sends a frame so many times out of an interface, `batch` at a time; the answer is the nanoseconds for one, as the kernel
/// measures them: on a veth pair the receiver works in between, on the same processor.
pub(crate) fn send(program: &OwnedFd, ifindex: u32, frame: &[u8], repeat: u32, batch: u32) -> f64 {
    let length = u32::try_from(frame.len()).expect("a short frame");
    let mut context = XdpMd { data_end: length, ingress_ifindex: ifindex, ..XdpMd::default() };
    let mut attr = TestRun {
        prog_fd: raw(program),
        data_size_in: length,
        data_in: frame.as_ptr() as u64,
        repeat,
        ctx_size_in: u32::try_from(size_of::<XdpMd>()).expect("a few bytes"),
        ctx_in: std::ptr::from_mut(&mut context) as u64,
        flags: BPF_F_TEST_XDP_LIVE_FRAMES,
        batch_size: batch,
        ..TestRun::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut attr).expect("the kernel injects frames (Linux 5.18)");
    f64::from(attr.duration)
}

/// Switches generic receive offload on: a veth interface without XDP then takes frames as one with XDP does.
pub(crate) fn receive_offload_on(interface: &str) {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).expect("a socket");
    let mut value = [ETHTOOL_SGRO, 1];
    let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], data: &raw mut value, pad: [0; 2] };
    request.name[..interface.len()].copy_from_slice(interface.as_bytes());
    // SAFETY: the request and the value it points to are laid out as SIOCETHTOOL expects, and outlive the call.
    let result = unsafe { libc::ioctl(any.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    assert_eq!(result, 0, "receive offload of {interface}: {}", io::Error::last_os_error());
}
