//! Numbered packets that flow all the time: a guarded channel, an allowed flow, a denied one, and questions whose answers need an entry.
//! What a gap of a moment would lose or let in is seen.

use std::{
    net::UdpSocket,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    net::sockopt::set_socket_recv_buffer_size_force,
    thread::{CpuSet, LinkNameSpaceType, move_into_link_name_space, sched_getcpu, sched_setaffinity},
};

use crate::{
    guard::CLUSTER_PORT,
    lab::{self, HERE_V4, Lab, THERE_V4},
    shared::policies::{policy, segment},
};

pub(crate) const ALLOWED_PORT: u16 = 9_001;
pub(crate) const DENIED_PORT: u16 = 9_002;
/// At the peer: what is asked there is answered.
const ASKED_PORT: u16 = 9_003;
/// Here: where the answers come.
const ANSWER_PORT: u16 = 9_004;
/// Between packets, so that it is not the sockets that lose them.
const PACE: Duration = Duration::from_micros(300);
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;
/// How long a receiver waits before it looks whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What was sent has arrived by then, also on a machine under load.
const ARRIVED_WITHIN: Duration = Duration::from_secs(20);

/// An image that allows the hammered port and denies all else; variants differ in everything else.
pub(crate) fn image(variant: u64) -> policy::Image {
    let others: String = (0..20 + variant % 2 * 30)
        .map(|n| format!("    - {{name: other{n}, action: deny, from: [{{cidr: 192.0.2.{n}/32}}], services: [{{protocol: tcp, port: {}}}]}}\n", n + 1))
        .collect();
    let hammered = format!(
        "{{name: hammered, action: allow, from: [{{cidr: {THERE_V4}/32}}], services: [{{protocol: udp, port: {ALLOWED_PORT}}}]}}"
    );
    let says = format!("  ingress:\n{others}    - {hammered}");
    lab::compiled(&[segment("here", &format!("{HERE_V4}/32")), policy("here", "here", &says)].concat())
}

/// What has arrived of one stream.
#[derive(Default)]
struct Receipt {
    count: AtomicU64,
    /// One more than the last number.
    next: AtomicU64,
    disorder: AtomicU64,
}

impl Receipt {
    fn note(&self, number: u64) {
        self.count.fetch_add(1, Relaxed);
        let expected = self.next.swap(number + 1, Relaxed);
        self.disorder.fetch_add(u64::from(number < expected), Relaxed);
    }

    /// Numbers that were left out.
    fn lost(&self) -> u64 {
        // In this order: what arrives in between makes the difference smaller, never larger.
        let next = self.next.load(Relaxed);
        next.saturating_sub(self.count.load(Relaxed))
    }
}

#[derive(Default)]
struct Shared {
    stop_sending: AtomicBool,
    stop: AtomicBool,
    sent: AtomicU64,
    asked: AtomicU64,
    channel: Receipt,
    allowed: Receipt,
    denied: Receipt,
    answers: Receipt,
}

/// The streams, while they flow.
pub(crate) struct Streams {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Streams {
    /// Lets them flow between the ends of a lab whose policy is [`image`] and whose guard knows the peer.
    pub(crate) fn begin(lab: &Lab) -> Streams {
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        let mut spawn = |work: fn(&Shared, &UdpSocket), socket: UdpSocket| {
            let shared = shared.clone();
            threads.push(thread::spawn(move || work(&shared, &socket)));
        };
        spawn(|shared, socket| receive(shared, socket, &shared.channel), receiver(CLUSTER_PORT));
        spawn(|shared, socket| receive(shared, socket, &shared.allowed), receiver(ALLOWED_PORT));
        spawn(|shared, socket| receive(shared, socket, &shared.denied), receiver(DENIED_PORT));
        let answers = receiver(ANSWER_PORT);
        let questions = answers.try_clone().unwrap();
        spawn(|shared, socket| receive(shared, socket, &shared.answers), answers);
        let (asked, channel) = lab.at_peer(|| {
            let asked = UdpSocket::bind((THERE_V4, ASKED_PORT)).unwrap();
            set_socket_recv_buffer_size_force(&asked, RECEIVE_BUFFER_BYTES).unwrap();
            asked.set_read_timeout(Some(LOOK_EVERY)).unwrap();
            (asked, UdpSocket::bind((THERE_V4, CLUSTER_PORT)).unwrap())
        });
        spawn(answer, asked);
        spawn(ask, questions);
        let namespace = lab.peer_namespace();
        let with_flow = shared.clone();
        threads.push(thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            send(&with_flow, &channel);
        }));
        Streams { shared, threads }
    }

    /// What was lost so far of the channel, of the allowed flow and of the answers, and how much was let in of what is denied.
    pub(crate) fn damage(&self) -> [u64; 4] {
        let Shared { channel, allowed, answers, denied, .. } = &*self.shared;
        [channel.lost(), allowed.lost(), answers.lost(), denied.count.load(Relaxed)]
    }

    /// Ends them when everything has arrived; how many packets of each kind there were.
    pub(crate) fn end(mut self) -> u64 {
        self.shared.stop_sending.store(true, Relaxed);
        let Shared { sent, asked, channel, allowed, answers, .. } = &*self.shared;
        let arrived = || {
            let next = |receipt: &Receipt| receipt.next.load(Relaxed);
            (next(channel), next(allowed)) == (sent.load(Relaxed), sent.load(Relaxed))
                && next(answers) == asked.load(Relaxed)
        };
        let begin = Instant::now();
        while !arrived() && begin.elapsed() < ARRIVED_WITHIN {
            thread::sleep(LOOK_EVERY);
        }
        self.shared.stop.store(true, Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        assert!(arrived(), "the last packets did not arrive");
        assert_eq!(self.damage(), [0; 4], "lost of channel, allowed flow and answers; let in of the denied");
        for receipt in [channel, allowed, answers] {
            assert_eq!(receipt.disorder.load(Relaxed), 0, "out of order");
        }
        sent.load(Relaxed).min(asked.load(Relaxed))
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.shared.stop_sending.store(true, Relaxed);
        self.shared.stop.store(true, Relaxed);
    }
}

/// A socket whose buffer holds everything that may come.
fn receiver(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((HERE_V4, port)).unwrap();
    set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES).unwrap();
    socket.set_read_timeout(Some(LOOK_EVERY)).unwrap();
    socket
}

fn receive(shared: &Shared, socket: &UdpSocket, receipt: &Receipt) {
    let mut bytes = [0; 8];
    while !shared.stop.load(Relaxed) {
        if socket.recv(&mut bytes).is_ok() {
            receipt.note(u64::from_le_bytes(bytes));
        }
    }
}

/// Keeps this thread on its processor: what is sent from two can overtake each other in the kernel, for each has a queue of its own.
fn stay_on_one_processor() {
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    sched_setaffinity(None, &here).unwrap();
}

fn send(shared: &Shared, channel: &UdpSocket) {
    stay_on_one_processor();
    let flow = UdpSocket::bind((THERE_V4, 0)).unwrap();
    while !shared.stop_sending.load(Relaxed) {
        let number = shared.sent.load(Relaxed).to_le_bytes();
        channel.send_to(&number, (HERE_V4, CLUSTER_PORT)).unwrap();
        flow.send_to(&number, (HERE_V4, ALLOWED_PORT)).unwrap();
        flow.send_to(&number, (HERE_V4, DENIED_PORT)).unwrap();
        shared.sent.fetch_add(1, Relaxed);
        thread::sleep(PACE);
    }
}

fn ask(shared: &Shared, socket: &UdpSocket) {
    stay_on_one_processor();
    while !shared.stop_sending.load(Relaxed) {
        let number = shared.asked.load(Relaxed).to_le_bytes();
        // Denied on the way out it would be refused here.
        socket.send_to(&number, (THERE_V4, ASKED_PORT)).unwrap();
        shared.asked.fetch_add(1, Relaxed);
        thread::sleep(PACE);
    }
}

fn answer(shared: &Shared, socket: &UdpSocket) {
    stay_on_one_processor();
    let mut bytes = [0; 8];
    while !shared.stop.load(Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut bytes) {
            socket.send_to(&bytes[..length], from).unwrap();
        }
    }
}
