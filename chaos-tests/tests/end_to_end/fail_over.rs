//! A virtual address that moves while traffic flows through the load balancers: what goes on at the other one, and what does not.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use chaos_tests::lab::{Cut, Namespace};
use chaos_tests::probe::{Conversation, Expect, HttpProbe, Stream};
use chaos_tests::site::WEB_PORT;
use chaos_tests::wait;
use serde_json::json;

use crate::scene::{SECOND, Scene, scene};

/// VRRP notices a dead master within 0.4 s. A neighbour that has just been learned is not learned anew within a second, so that
/// keepalived's second round of announcements, 5 s later, may be the one that counts; and TCP waits twice as long each time.
const MOVED_SECONDS_MAX: Duration = Duration::from_secs(30);
/// How many numbers show that a conversation goes on.
const MORE: u64 = 100;
/// The port that policy opens for the client.
const OPEN_PORT: u16 = 9000;
/// A port that it opens for nobody.
const CLOSED_PORT: u16 = 9001;
/// Ports of [`remembered`].
const ASK_PORT: u16 = 9002;
const KEPT_PORT: u16 = 9003;
/// The pause between two attempts of whoever must not get in, and how long each waits for an answer.
const PAUSE: Duration = Duration::from_millis(50);
const SILENCE: Duration = Duration::from_millis(500);
/// How long a datagram is waited for: many times what it takes.
const HEARD: Duration = Duration::from_millis(300);
/// The allowed client.
const ALLOWED_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 201);

/// Nobody reaches anybody; the allowed client reaches one port of one server.
const ONE_PORT: &str = r#"
apiVersion: hedgerow/v1
kind: Settings
metadata: {name: cluster}
spec: {defaultAction: deny}
---
apiVersion: hedgerow/v1
kind: Segment
metadata: {name: clients}
spec: {role: client, addresses: [203.0.113.201, "2001:db8:77::201"]}
---
apiVersion: hedgerow/v1
kind: Segment
metadata: {name: servers}
spec: {role: backend, addresses: [10.88.0.11, "fd88::11"], services: [{name: app, protocol: tcp, port: 9000}]}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {name: clients}
spec:
  tier: application
  appliesTo: {segment: clients}
  egress:
    - {name: to-servers, action: allow, to: [{segment: servers}], services: [app]}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {name: servers}
spec:
  tier: application
  appliesTo: {segment: servers}
  ingress:
    - {name: from-clients, action: allow, from: [{segment: clients}], services: [app]}
"#;

/// The client may ask by UDP, and, until `rules` are taken away, has flows that are kept.
fn remembered(rules: &str) -> String {
    format!(
        r#"
apiVersion: hedgerow/v1
kind: Segment
metadata: {{name: servers}}
spec: {{role: backend, addresses: [10.88.0.11, "fd88::11"]}}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: questions}}
spec:
  tier: platform
  appliesTo: {{segment: servers}}
  ingress:
    - {{name: ask, action: allow, services: [{{protocol: udp, port: {ASK_PORT}}}]}}
    - {{name: rest, action: pass}}
  egress:
    - {{name: rest, action: pass}}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: kept}}
spec:
  tier: application
  existingFlows: keep
  appliesTo: {{segment: servers}}
  ingress: {rules}
  egress: []
"#
    )
}

/// The established connections through the virtual address survive the death of keepalived on the master. Its addresses stay
/// behind on a machine that goes on forwarding, as after any SIGKILL.
#[test]
fn established_tcp_through_the_virtual_address_survives_the_death_of_keepalived() {
    let name = "established_tcp_through_the_virtual_address_survives_the_death_of_keepalived";
    let Some(scene) = scene(name, 2) else { return };
    survives(scene, |scene, master| {
        scene.site.balancers[master].kill_keepalived().expect("a keepalived to kill");
        Vec::new()
    });
}

/// And they survive the death of the whole master, agent and all. Of two nodes the one that is left has no quorum (G11).
#[test]
fn g11_established_tcp_through_the_virtual_address_survives_the_death_of_the_master() {
    let name = "g11_established_tcp_through_the_virtual_address_survives_the_death_of_the_master";
    let Some(scene) = scene(name, 2) else { return };
    survives(scene, die);
}

/// Everything on a load balancer ends, in the silence of a machine without power.
fn die(scene: &mut Scene, index: usize) -> Vec<Cut> {
    let networks = &scene.site.networks;
    let machine = &scene.site.balancers[index].machine;
    let cuts =
        [&networks.vip, &networks.backend, &networks.cluster].map(|network| network.isolate(machine).expect("a cut"));
    scene.site.balancers[index].kill_keepalived().expect("a keepalived to kill");
    scene.site.balancers[index].kill_agent().expect("an agent to kill");
    cuts.into()
}

/// What needs memory waits for whoever opened it: answers by UDP for the next question. A kept flow that the live revision no longer
/// allows ends, for only the load balancer that died remembered it.
#[test]
fn what_needs_memory_is_opened_again_after_a_fail_over() {
    let Some(mut scene) = scene("what_needs_memory_is_opened_again_after_a_fail_over", 2) else { return };
    let master = routed(&mut scene);
    let other = 1 - master;
    scene.apply_text(1, &remembered("[{name: in, action: allow}]"));
    let kept = converse(&scene, KEPT_PORT);
    let udp = Udp::new(&scene);
    udp.ask(1);
    udp.hear_answer(1);
    scene.apply_text(1, &remembered("[]"));
    goes_on(&kept);

    let cuts = die(&mut scene, master);
    moved(&scene, other);
    // Both ends try again, and each is refused.
    for to in servers(&scene, KEPT_PORT) {
        for wanted in [
            json!({"reason": "denied", "dst": to.ip(), "service": format!("tcp/{KEPT_PORT}")}),
            json!({"reason": "denied", "src": to.ip(), "src_port": KEPT_PORT}),
        ] {
            wait::until("both ends to try again", MOVED_SECONDS_MAX, || scene.event(other, &wanted)).unwrap();
        }
    }
    let before = kept.each_ref().map(Conversation::heard);
    wait::until("an answer to be refused, for it was not asked for there", MOVED_SECONDS_MAX, || {
        assert_eq!(udp.answer(2).ok(), None, "nobody has asked through this load balancer");
        scene.event(other, &json!({"reason": "denied", "src": udp.to.ip(), "src_port": udp.to.port()}))
    })
    .unwrap();
    udp.ask(3);
    udp.hear_answer(3);
    assert_eq!(kept.each_ref().map(Conversation::heard), before, "a kept flow went on where nobody remembers it");
    drop(cuts);
}

/// What the policy allows goes on over the death of the master without a loss; what it does not allow is refused before, meanwhile and
/// after, in mid-flow too.
fn survives(mut scene: Scene, kill: impl FnOnce(&mut Scene, usize) -> Vec<Cut>) {
    let master = routed(&mut scene);
    // Opened while there is no policy: in mid-flow, and never allowed.
    let closed = converse(&scene, CLOSED_PORT);
    scene.apply_text(1, ONE_PORT);
    let open = converse(&scene, OPEN_PORT);
    let kept_out = kept_out(&scene);
    goes_on(&open);
    let before = closed.each_ref().map(Conversation::heard);
    let picked_up_before = scene.picked_up(1 - master);

    let cuts = kill(&mut scene, master);
    moved(&scene, 1 - master);
    goes_on(&open);
    wait::until_true("segments to be picked up by the other load balancer", MOVED_SECONDS_MAX, || {
        scene.picked_up(1 - master) > picked_up_before
    })
    .expect("segments that are picked up");

    for stream in kept_out {
        let tally = stream.finish();
        assert!(tally.asked > 0 && tally.wrong.is_empty(), "not allowed, and connected: {tally:?}");
    }
    assert_eq!(closed.each_ref().map(Conversation::heard), before, "a connection that no policy allows went on");
    for conversation in open {
        conversation.finish().expect("nothing lost, nothing out of order, no reset");
    }
    drop(cuts);
}

/// Two load balancers that forward, in a cluster without a policy; returns which of them has the virtual addresses.
fn routed(scene: &mut Scene) -> usize {
    scene.site.route_through().expect("routes through the virtual addresses");
    for index in 0..2 {
        let site = &mut scene.site;
        site.balancers[index].start_keepalived(&site.lab).expect("keepalived");
    }
    scene.site.form(2).expect("a cluster");
    let (master, _) = wait::until("a master through which both clients reach a server", MOVED_SECONDS_MAX, || {
        let master = only_master(scene)?;
        for to in servers(scene, WEB_PORT) {
            for client in [&scene.site.allowed, &scene.site.denied] {
                let answer = HttpProbe { to, limit: SECOND }.from(client).map_err(|error| error.to_string())?;
                answer.map_err(|failure| format!("{} to {to}: {failure}", client.short()))?;
            }
        }
        Ok::<_, String>(master)
    })
    .expect("a way through the load balancers");
    master
}

/// The load balancer that has the virtual addresses, if it is one.
fn only_master(scene: &Scene) -> Result<usize, String> {
    let holds = scene.site.balancers.iter().map(|one| one.holds_vip().map_err(|error| error.to_string()));
    match *holds.collect::<Result<Vec<_>, _>>()? {
        [true, false] => Ok(0),
        [false, true] => Ok(1),
        ref other => Err(format!("masters: {other:?}")),
    }
}

/// Waits until a load balancer has the virtual addresses, whoever else has them.
fn moved(scene: &Scene, to: usize) {
    wait::until_true("the virtual address to move", MOVED_SECONDS_MAX, || {
        scene.site.balancers[to].holds_vip().is_ok_and(|holds| holds)
    })
    .expect("a new master");
}

/// A port of the first server, in both families.
fn servers(scene: &Scene, port: u16) -> [SocketAddr; 2] {
    scene.site.web_addresses(0).backend().map(|address| (address, port).into())
}

/// A conversation of the allowed client with a port of the first server, in both families.
fn converse(scene: &Scene, port: u16) -> [Conversation; 2] {
    let conversations = servers(scene, port).map(|to| {
        Conversation::open(&scene.site.allowed, scene.site.web_machine(0), to, 5 * SECOND).expect("a conversation")
    });
    goes_on(&conversations);
    conversations
}

fn goes_on(conversations: &[Conversation]) {
    for conversation in conversations {
        conversation.wait_for_more(MORE, MOVED_SECONDS_MAX).expect("a conversation that goes on");
    }
}

/// Attempts at the server by the other client, in both families, none of which may come to anything.
fn kept_out(scene: &Scene) -> [Stream; 2] {
    servers(scene, WEB_PORT).map(|to| {
        let probe = HttpProbe { to, limit: SILENCE };
        Stream::start(&scene.site.denied, probe, Expect::Silence, PAUSE).expect("a stream of attempts")
    })
}

/// Two sockets, of the allowed client and of the first server, that speak by UDP.
struct Udp {
    client: UdpSocket,
    server: UdpSocket,
    to: SocketAddr,
    back: SocketAddr,
}

impl Udp {
    fn new(scene: &Scene) -> Self {
        let to = servers(scene, ASK_PORT)[0];
        let bind = |machine: &Namespace, at: SocketAddr| {
            let socket = machine.within(|| UdpSocket::bind(at)).expect("a namespace").expect("a socket");
            socket.set_read_timeout(Some(HEARD)).expect("a limit");
            socket
        };
        let client = bind(&scene.site.allowed, (ALLOWED_V4, 0).into());
        let server = bind(scene.site.web_machine(0), to);
        let back = client.local_addr().expect("an address");
        Self { client, server, to, back }
    }

    /// Asks until the server has heard it.
    fn ask(&self, number: u8) {
        wait::until("a question to arrive", MOVED_SECONDS_MAX, || {
            self.client.send_to(&[number], self.to)?;
            hear(&self.server, number)
        })
        .expect("a question that arrives");
    }

    /// Answers until the client has heard it.
    fn hear_answer(&self, number: u8) {
        wait::until("an answer to arrive", MOVED_SECONDS_MAX, || self.answer(number)).expect("an answer that arrives");
    }

    /// Answers once, and says whether the client has heard it.
    fn answer(&self, number: u8) -> io::Result<()> {
        self.server.send_to(&[number], self.back)?;
        hear(&self.client, number)
    }
}

/// Waits a moment for a datagram with this number; others are passed over.
fn hear(socket: &UdpSocket, number: u8) -> io::Result<()> {
    let mut heard = [0];
    while heard != [number] {
        socket.recv_from(&mut heard)?;
    }
    Ok(())
}
