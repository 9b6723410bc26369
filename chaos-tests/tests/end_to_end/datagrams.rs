//! Single packets whose every field a test knows: UDP from a port of its choice.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use chaos_tests::lab::Namespace;

/// What a datagram of [`send`] carries.
const WORDS: &[u8] = b"hedge";
/// Ethernet, IP and UDP in front of it.
const HEADERS_V4: usize = 14 + 20 + 8;
const HEADERS_V6: usize = 14 + 40 + 8;
/// How long a datagram that should arrive is waited for: many times what it takes.
const ARRIVED_WITHIN: Duration = Duration::from_secs(5);

/// A socket on a machine.
pub(crate) fn socket(machine: &Namespace, at: SocketAddr) -> UdpSocket {
    machine.within(|| UdpSocket::bind(at)).expect("a namespace").expect("a socket")
}

/// Sends one datagram from one address and port to another.
pub(crate) fn send(machine: &Namespace, from: SocketAddr, to: SocketAddr) {
    send_many(machine, from, to, 1);
}

/// Sends as many as that, as fast as can be.
pub(crate) fn send_many(machine: &Namespace, from: SocketAddr, to: SocketAddr, count: usize) {
    let socket = socket(machine, from);
    for _ in 0..count {
        socket.send_to(WORDS, to).expect("a datagram on its way");
    }
}

/// Bytes of the frame that [`send`] makes.
pub(crate) fn frame_bytes(to: IpAddr) -> usize {
    WORDS.len() + if to.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 }
}

/// Waits for a datagram; from whom it comes.
pub(crate) fn arrived(socket: &UdpSocket) -> SocketAddr {
    socket.set_read_timeout(Some(ARRIVED_WITHIN)).expect("a limit");
    let mut bytes = [0; 64];
    let (_, from) = socket.recv_from(&mut bytes).expect("a datagram that arrives");
    from
}

/// How many datagrams lie at a socket; they are taken.
pub(crate) fn lying_at(socket: &UdpSocket) -> usize {
    socket.set_nonblocking(true).expect("a socket that does not wait");
    let mut bytes = [0; 64];
    let mut count = 0;
    loop {
        match socket.recv_from(&mut bytes) {
            Ok(_) => count += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("a socket that cannot be read: {error}"),
        }
    }
    socket.set_nonblocking(false).expect("a socket that waits");
    count
}
