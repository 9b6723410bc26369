//! A policy that observes: everything passes, what would be refused is told and counted, and when the policy comes into force it
//! cuts no answer to what was asked before.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chaos_tests::lab::Namespace;
use chaos_tests::probe::{Conversation, connect};
use chaos_tests::wait;
use serde_json::json;

use crate::datagrams::{arrived, send, socket};
use crate::scene::{BALANCER, SECOND, SELF, STRANGER, Scene, TOLD_SECONDS_MAX, scene};

/// Several times what a conversation needs to go on.
const GOES_ON_SECONDS_MAX: Duration = Duration::from_secs(10);
const MORE: u64 = 100;
/// Where this node asks, by UDP and by TCP.
const ASK_PORT: u16 = 9200;
const TALK_PORT: u16 = 9201;
/// Where others come in.
const KNOCK_PORT: u16 = 9202;
const CALL_PORT: u16 = 9203;
/// Between two answers.
const PACE: Duration = Duration::from_millis(2);
const SILENCE: Duration = Duration::from_millis(500);

/// Nobody comes in to the load balancer, and it asks one server at two ports.
fn strict(mode: &str) -> String {
    format!(
        r#"{SELF}
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: strict}}
spec:
  tier: application
  mode: {mode}
  appliesTo: {{segment: self}}
  ingress: []
  egress:
    - name: ask
      action: allow
      to: [{{cidr: 10.88.0.11/32}}, {{cidr: "fd88::11/128"}}]
      services: [{{protocol: udp, port: {ASK_PORT}}}, {{protocol: tcp, port: {TALK_PORT}}}]
"#
    )
}

/// While it observes, a policy refuses nothing and every refusal that would be is told and counted. When it comes into force, the answers
/// to what this node asked before pass all the same (a warm start); what others began before ends, and what they begin is refused.
#[test]
fn observing_refuses_nothing_and_enforcing_cuts_no_answer() {
    let Some(mut scene) = scene("observing_refuses_nothing_and_enforcing_cuts_no_answer", 1) else { return };
    scene.found(0);
    let revision = scene.apply_text(0, &strict("observe")).revision;
    let machine = &scene.site.balancers[0].machine;
    let own = BALANCER.vip();
    let doors = own.map(|to: IpAddr| socket(machine, (to, KNOCK_PORT).into()));
    knock(&scene, &doors);
    for door in &doors {
        arrived(door);
        would_be_refused(&scene, door.local_addr().unwrap().ip(), revision);
    }
    // Each datagram is counted once, at the reason and at the rule that would have refused it.
    let api = scene.site.balancers[0].api();
    let packets = |reason: &str| api.metric("hedgerow_packets_total", &[&format!("reason=\"{reason}\"")]).unwrap();
    let by_rule = ["policy=\"strict\"", "rule=\"unmatched\"", "direction=\"ingress\"", "action=\"deny\""];
    let rule = || api.metric("hedgerow_rule_packets_total", &by_rule).unwrap();
    assert_eq!((packets("observed"), rule(), packets("denied")), (2, 2, 0));
    let explained = scene.site.balancers[0].cli().explain("203.0.113.202", "203.0.113.1", "udp/9202").unwrap();
    assert_eq!(explained.verdict, "allow");
    assert!(explained.text.contains("a policy in observe mode would deny it"), "{}", explained.text);

    // Opened while the policy observes: by this node, which it may, and by somebody else, who may not.
    let server = scene.site.web_addresses(0);
    let servers = server.backend();
    let answers = servers.map(|to| Answers::start(machine, scene.site.web_machine(0), (to, ASK_PORT).into()));
    let talks = servers.map(|to| open(machine, scene.site.web_machine(0), (to, TALK_PORT).into()));
    let calls = own.map(|to| open(&scene.site.denied, machine, (to, CALL_PORT).into()));
    let observed = packets("observed");
    assert!(observed > 2 + MORE && packets("denied") == 0, "the strangers' segments are observed: {observed}");

    scene.apply_text(0, &strict("enforce"));
    talks.iter().for_each(goes_on);
    for one in answers {
        let count = one.finish().expect("every answer to what was asked while the policy observed");
        assert!(count > MORE, "{count} answers");
    }
    let before = calls.each_ref().map(Conversation::heard);
    knock(&scene, &doors);
    for door in &doors {
        let event = json!({"reason": "denied", "verdict": "drop", "src_port": KNOCK_PORT, "dst": door.local_addr().unwrap().ip()});
        wait::until("a refusal to be told", TOLD_SECONDS_MAX, || scene.event(0, &event)).unwrap();
        door.set_nonblocking(true).unwrap();
        assert_eq!(door.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "refused, and arrived");
        let refused =
            connect(&scene.site.denied, (door.local_addr().unwrap().ip(), CALL_PORT).into(), SILENCE).unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::TimedOut);
    }
    talks.iter().for_each(goes_on);
    assert_eq!(calls.each_ref().map(Conversation::heard), before, "what would have been refused is refused now");
    for talk in talks {
        talk.finish().expect("nothing lost, nothing out of order, no reset");
    }
}

/// A datagram of the stranger to each of these sockets.
fn knock(scene: &Scene, doors: &[UdpSocket; 2]) {
    for (from, door) in STRANGER.vip().into_iter().zip(doors) {
        send(&scene.site.denied, (from, KNOCK_PORT).into(), door.local_addr().expect("an address"));
    }
}

/// The datagram at this address is told as one that passes only because the policy observes.
fn would_be_refused(scene: &Scene, to: IpAddr, revision: u64) {
    let event = json!({
        "reason": "observed", "verdict": "pass", "interface": "vip0", "direction": "ingress", "src_port": KNOCK_PORT, "dst": to,
        "service": format!("udp/{KNOCK_PORT}"), "ingress_rule": "strict/ingress (no rule matched)", "revision": revision
    });
    wait::until("the refusal that would be", TOLD_SECONDS_MAX, || scene.event(0, &event)).expect("an observed event");
}

fn open(client: &Namespace, server: &Namespace, to: SocketAddr) -> Conversation {
    let conversation = Conversation::open(client, server, to, 5 * SECOND).expect("a conversation");
    goes_on(&conversation);
    conversation
}

fn goes_on(conversation: &Conversation) {
    conversation.wait_for_more(MORE, GOES_ON_SECONDS_MAX).expect("a conversation that goes on");
}

/// One question by UDP, and numbered answers to it without end. UDP is not picked up in mid-flow: every answer needs the entry that
/// the question made.
struct Answers {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<u64>,
    receiver: JoinHandle<Result<u64, String>>,
}

impl Answers {
    fn start(asker: &Namespace, server: &Namespace, to: SocketAddr) -> Self {
        let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        let (near, far) = (socket(asker, any), socket(server, to));
        near.connect(to).and_then(|()| near.send(b"?")).expect("a question");
        far.connect(arrived(&far)).expect("an asker");
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let sender = thread::spawn(move || answer(&far, &ended));
        let receiver = thread::spawn(move || hear(&near));
        Self { stop, sender, receiver }
    }

    /// How many were heard; an error unless it was all.
    fn finish(self) -> Result<u64, String> {
        self.stop.store(true, Ordering::SeqCst);
        let sent = self.sender.join().expect("a sender that does not panic");
        let heard = self.receiver.join().expect("a receiver that does not panic")?;
        if heard == sent { Ok(heard) } else { Err(format!("{sent} answers were sent, {heard} heard")) }
    }
}

/// Sends numbers from 0 on until it is told to stop, and then an empty datagram; returns how many.
fn answer(socket: &UdpSocket, stop: &AtomicBool) -> u64 {
    let mut number = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        socket.send(&number.to_be_bytes()).expect("an answer on its way");
        number += 1;
        thread::sleep(PACE);
    }
    socket.send(&[]).expect("the end of the answers");
    number
}

/// Hears numbers from 0 on, each one more than the last, until an empty datagram; returns how many.
fn hear(socket: &UdpSocket) -> Result<u64, String> {
    socket.set_read_timeout(Some(GOES_ON_SECONDS_MAX)).map_err(|error| error.to_string())?;
    let mut bytes = [0; 8];
    for expected in 0_u64.. {
        match socket.recv(&mut bytes) {
            Ok(8) if u64::from_be_bytes(bytes) == expected => (),
            Ok(8) => return Err(format!("answer {} came, not {expected}", u64::from_be_bytes(bytes))),
            Ok(_) => return Ok(expected),
            Err(error) => return Err(format!("{expected} answers, and then: {error}")),
        }
    }
    unreachable!("there are more numbers than answers")
}
