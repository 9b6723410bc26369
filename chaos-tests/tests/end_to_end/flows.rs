//! Flow events, from a packet on the wire to whoever asks: which are told, with what, and what becomes of too many.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use chaos_tests::lab::Daemon;
use chaos_tests::probe::connect;
use chaos_tests::site::{Addresses, Api};
use chaos_tests::wait;
use serde_json::{Value, json};

use crate::datagrams::{arrived, frame_bytes, send, send_many, socket};
use crate::scene::{BALANCER, STRANGER, Scene, TOLD_SECONDS_MAX, scene};

const LOGGED_PORT: u16 = 9100;
const QUIET_PORT: u16 = 9101;
const TELNET_PORT: u16 = 23;
/// Shorter than the second after which a SYN is repeated.
const SILENCE: Duration = Duration::from_millis(500);
/// How many logged packets come at once: fewer than the 256 that a processor may tell in a quarter of a second.
const LOGGED: usize = 100;
/// How many refused ones: so many that no machine is slow enough to tell them all.
const FLOOD: usize = 20_000;
/// The client that comes in.
const ALLOWED: Addresses = Addresses::of(201);

/// One client comes in at two ports, of which one is logged; nobody comes in at the port of telnet, by a rule of its own, and
/// nobody else anywhere.
fn gate(log_sampling: u32) -> String {
    format!(
        r#"
apiVersion: hedgerow/v1
kind: Settings
metadata: {{name: cluster}}
spec: {{logSampling: {log_sampling}}}
---
apiVersion: hedgerow/v1
kind: Segment
metadata: {{name: gate}}
spec: {{role: vip, addresses: [203.0.113.1, "2001:db8:77::1"]}}
---
apiVersion: hedgerow/v1
kind: Segment
metadata: {{name: partner}}
spec: {{role: client, addresses: [203.0.113.201, "2001:db8:77::201"]}}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: gate}}
spec:
  tier: application
  appliesTo: {{segment: gate}}
  ingress:
    - {{name: no-telnet, action: deny, services: [{{protocol: tcp, port: {TELNET_PORT}}}]}}
    - {{name: logged, action: allow, from: [{{segment: partner}}], services: [{{protocol: udp, port: {LOGGED_PORT}}}], log: true}}
    - {{name: quiet, action: allow, from: [{{segment: partner}}], services: [{{protocol: udp, port: {QUIET_PORT}}}]}}
"#
    )
}

/// A refused packet, one that a rule refuses, and one that a rule logs: each is told once, with all that can be known of it, to the
/// API, to the CLI and to whoever follows. What is allowed and not logged is not told.
#[test]
fn what_is_refused_or_logged_is_told_with_the_rule_that_decided() {
    let Some(mut scene) = scene("what_is_refused_or_logged_is_told_with_the_rule_that_decided", 1) else { return };
    scene.found(0);
    let follower = follow(&scene);
    let revision = scene.apply_text(0, &gate(1)).revision;
    let mut wanted = Vec::new();
    for family in 0..2 {
        wanted.extend(send_one_of_each(&scene, family, revision));
    }
    for event in &wanted {
        wait::until("an event to be told", TOLD_SECONDS_MAX, || scene.event(0, event)).unwrap();
    }
    told_alike(&scene, follower.log(), wanted.len());
    let api = scene.site.balancers[0].api();
    for (rule, action) in [("logged", "allow"), ("quiet", "allow"), ("no-telnet", "deny"), ("unmatched", "deny")] {
        let labels = ["policy=\"gate\"", &format!("rule=\"{rule}\""), &format!("action=\"{action}\"")];
        assert_eq!(api.metric("hedgerow_rule_packets_total", &labels).unwrap(), 2, "one packet of each family: {rule}");
    }
    let refused = ["direction=\"ingress\"", "reason=\"denied\"", "verdict=\"drop\""];
    assert_eq!(api.metric("hedgerow_packets_total", &refused).unwrap(), 4);
    assert_eq!(Counted::read(&api), Counted { taken: 6, lost: 0, sampled_out: 0, forgotten: 0 });
    follows(&scene);
}

/// Sends a packet of each kind in one family, and returns the events that must come of them.
fn send_one_of_each(scene: &Scene, family: usize, revision: u64) -> [Value; 3] {
    let [to, allowed, denied] = [BALANCER, ALLOWED, STRANGER].map(|host| host.vip()[family]);
    let [logged, quiet] =
        [LOGGED_PORT, QUIET_PORT].map(|port| socket(&scene.site.balancers[0].machine, (to, port).into()));
    send(&scene.site.denied, (denied, 40_001).into(), (to, LOGGED_PORT).into());
    let telnet = connect(&scene.site.allowed, (to, TELNET_PORT).into(), SILENCE).expect("a namespace");
    assert_eq!(telnet.expect_err("refused by a rule").kind(), ErrorKind::TimedOut);
    for (socket, port) in [(&logged, 40_002), (&quiet, 40_003)] {
        let at = socket.local_addr().expect("an address");
        send(&scene.site.allowed, (allowed, port).into(), at);
        assert_eq!(arrived(socket), SocketAddr::from((allowed, port)), "what was refused has not arrived before");
    }
    let event = |special: Value| {
        let mut event = json!({
            "interface": "vip0", "direction": "ingress", "dst": to, "egress_rule": "default action", "revision": revision
        });
        event.as_object_mut().expect("an object").extend(special.as_object().expect("an object").clone());
        event
    };
    let udp = format!("udp/{LOGGED_PORT}");
    [
        event(json!({
            "verdict": "drop", "reason": "denied", "src": denied, "src_port": 40_001, "service": udp, "bytes": frame_bytes(to),
            "ingress_rule": "gate/ingress (no rule matched)", "logged": false
        })),
        event(json!({
            "verdict": "drop", "reason": "denied", "src": allowed, "service": "tcp/23", "tcp_flags": "SYN",
            "ingress_rule": "gate/ingress/no-telnet", "logged": false
        })),
        event(json!({
            "verdict": "pass", "reason": "allowed", "src": allowed, "src_port": 40_002, "service": udp, "bytes": frame_bytes(to),
            "ingress_rule": "gate/ingress/logged", "logged": true
        })),
    ]
}

/// `hedgerow flows -f`, for as long as the value lives.
fn follow(scene: &Scene) -> Daemon {
    let balancer = &scene.site.balancers[0];
    let mut command = Command::new(balancer.program());
    command.arg("--socket").arg(balancer.socket()).args(["-o", "json", "flows", "-f"]);
    scene.site.lab.daemon(&balancer.machine, "follower", &command).expect("a follower")
}

/// There are so many events, and the API, the CLI and a follower tell the same.
fn told_alike(scene: &Scene, follower: &Path, count: usize) {
    let balancer = &scene.site.balancers[0];
    let events = balancer.api().json("/v1/flows").expect("events")["events"].clone();
    assert_eq!(each(&events, "sequence"), (1..=count).map(Value::from).collect::<Vec<_>>(), "{events}");
    assert_eq!(balancer.cli().json(&["flows"]).expect("events")["events"], events);
    wait::until("the follower to have told the same", TOLD_SECONDS_MAX, || {
        let text = fs::read_to_string(follower).map_err(|error| error.to_string())?;
        let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        if lines.is_ok_and(|lines| Value::Array(lines) == events) { Ok(()) } else { Err(text) }
    })
    .expect("a follower that tells the same");
    let table = balancer.cli().done(&["flows"]).expect("a table").stdout;
    let line =
        table.lines().find(|line| line.contains("203.0.113.202:40001 -> 203.0.113.1 udp/9100")).unwrap_or_default();
    for words in ["vip0", "ingress", "drop", "denied", "gate/ingress (no rule matched) and default action", "revision"]
    {
        assert!(line.contains(words), "it should say {words:?}: {table}");
    }
}

/// A request for what comes after the last event is answered as soon as there is one, with that one.
fn follows(scene: &Scene) {
    let api = scene.site.balancers[0].api();
    let since = api.json("/v1/flows").expect("events")["next_since"].as_u64().expect("a number");
    let [to, denied] = [BALANCER, STRANGER].map(|host| host.vip()[0]);
    let waiting = thread::spawn(move || api.json(&format!("/v1/flows?since={since}&wait_ms=20000")));
    send(&scene.site.denied, (denied, 40_009).into(), (to, QUIET_PORT).into());
    let answer = waiting.join().expect("somebody who waits").expect("an answer");
    let told = each(&answer["events"], "src_port");
    assert_eq!(
        (told, answer["missed"].clone(), answer["next_since"].clone()),
        (vec![json!(40_009)], json!(0), json!(since + 1))
    );
}

/// This field of each event.
fn each(events: &Value, field: &str) -> Vec<Value> {
    events.as_array().expect("a list").iter().map(|event| event[field].clone()).collect()
}

/// What the metrics say of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    taken: u64,
    lost: u64,
    sampled_out: u64,
    forgotten: u64,
}

impl Counted {
    fn read(api: &Api) -> Self {
        let of = |name: &str| api.metric(&format!("hedgerow_flow_events_{name}_total"), &[]).expect("metrics");
        Self { taken: of("taken"), lost: of("lost"), sampled_out: of("sampled_out"), forgotten: of("forgotten") }
    }
}

/// Of a hundred logged packets, one in ten is kept and the others are counted. Of a flood of refused ones a processor tells so many; none
/// is sampled out, and each is either told or counted as lost.
#[test]
fn a_flood_is_sampled_bounded_and_counted_to_the_last_packet() {
    let Some(mut scene) = scene("a_flood_is_sampled_bounded_and_counted_to_the_last_packet", 1) else { return };
    scene.found(0);
    scene.apply_text(0, &gate(10));
    let api = scene.site.balancers[0].api();
    let [to, allowed, denied] = [BALANCER, ALLOWED, STRANGER].map(|host| host.vip()[0]);
    send_many(&scene.site.allowed, (allowed, 40_001).into(), (to, LOGGED_PORT).into(), LOGGED);
    let sampled = Counted { taken: LOGGED as u64, lost: 0, sampled_out: LOGGED as u64 / 10 * 9, forgotten: 0 };
    wait::until("a hundred events", TOLD_SECONDS_MAX, || {
        let now = Counted::read(&api);
        if now == sampled { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .unwrap();
    assert_eq!(api.json("/v1/flows").unwrap()["next_since"], LOGGED as u64 / 10);

    send_many(&scene.site.denied, (denied, 40_002).into(), (to, LOGGED_PORT).into(), FLOOD);
    let mut before = None;
    let (flood, _) = wait::until("every packet of the flood to be told or counted as lost", TOLD_SECONDS_MAX, || {
        let now = Counted::read(&api);
        let refused =
            api.metric("hedgerow_packets_total", &["reason=\"denied\""]).map_err(|error| error.to_string())?;
        // Seen twice alike, so that none is on its way any more.
        let settled = before.replace((now, refused)) == Some((now, refused));
        if settled && now.taken + now.lost == sampled.taken + refused {
            Ok(now)
        } else {
            Err(format!("{refused} refused, {now:?}"))
        }
    })
    .unwrap();
    assert!(flood.lost > 0 && flood.taken > sampled.taken, "{flood:?}");
    assert_eq!((flood.sampled_out, flood.forgotten), (sampled.sampled_out, 0), "what is refused is not sampled");
    let kept = flood.taken - flood.sampled_out;
    assert_eq!(api.json("/v1/flows").unwrap()["next_since"], kept, "whatever was taken and not sampled out is kept");
}
