//! G20 with a running agent: others take its programs off the interfaces, and within a second they are back, and counted.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use chaos_tests::{require, run, wait};
use serde_json::Value;

use crate::datagrams::{lying_at, send_many, socket};
use crate::scene::{BALANCER, STRANGER, Scene, scene};

/// What G20 promises, counted from before the deed.
const REPAIRED_WITHIN: Duration = Duration::from_secs(1);
/// How long packets may take until all of them are counted.
const COUNTED_SECONDS_MAX: Duration = Duration::from_secs(10);
/// How many datagrams show that packets are judged, in each family and direction.
const SENT: usize = 20;
const PORT: u16 = 9300;
const INTERFACE: &str = "vip0";

/// The load balancer's own addresses on the VIP network let nothing in and nothing out.
const NOTHING: &str = r#"
apiVersion: hedgerow/v1
kind: Segment
metadata: {name: self}
spec: {role: vip, addresses: [203.0.113.1, "2001:db8:77::1"]}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {name: nothing}
spec: {tier: application, appliesTo: {segment: self}, ingress: [], egress: []}
"#;

/// A load balancer whose agent enforces that nothing comes in or goes out, as is shown.
fn closed(test: &str) -> Option<Scene> {
    let mut scene = scene(test, 1)?;
    scene.found(0);
    scene.apply_text(0, NOTHING);
    all_is_well(&scene, 0);
    Some(scene)
}

/// `bpftool link detach` takes any program off, at every hook of the interface.
#[test]
fn g20_programs_that_are_detached_are_back_within_a_second() {
    let test = "g20_programs_that_are_detached_are_back_within_a_second";
    if lacks(test, "bpftool") {
        return;
    }
    let Some(scene) = closed(test) else { return };
    let pins = link_pins(&scene);
    assert!(pins.len() >= 2, "one of each direction at least: {pins:?}");
    for (pin, repaired) in pins.iter().zip(1..) {
        is_repaired(&scene, repaired, || {
            run::tool("bpftool", &["link", "detach", "pinned", &pin.display().to_string()])
                .expect("a program that is detached");
        });
        all_is_well(&scene, repaired);
    }
}

/// `ip link set … xdp off` and `bpftool net detach` come to nothing: the kernel lets nobody remove a link's program but by the link.
#[test]
fn g20_turning_xdp_off_opens_no_gap() {
    let test = "g20_turning_xdp_off_opens_no_gap";
    let Some(scene) = closed(test) else { return };
    for mode in ["xdp", "xdpdrv", "xdpgeneric"] {
        // Refused, or about a mode that is not in use: either way nothing may happen.
        let _either_way = scene.site.balancers[0].machine.ip(&["link", "set", "dev", INTERFACE, mode, "off"]);
        all_is_well(&scene, 0);
    }
    if lacks(test, "bpftool") {
        return;
    }
    for mode in ["xdp", "xdpdrv", "xdpgeneric"] {
        let _either_way = here(&scene, "bpftool", &["net", "detach", mode, "dev", INTERFACE]);
        all_is_well(&scene, 0);
    }
}

/// Without the queueing discipline `clsact` a filter of ours is gone with it, and comes back with a new one. Under TCX none of ours
/// is in it.
#[test]
fn g20_a_clsact_that_is_deleted_is_back_within_a_second() {
    let test = "g20_a_clsact_that_is_deleted_is_back_within_a_second";
    if lacks(test, "tc") {
        return;
    }
    let Some(scene) = closed(test) else { return };
    let delete = || {
        here(&scene, "tc", &["qdisc", "del", "dev", INTERFACE, "clsact"]).expect("a clsact to delete");
    };
    if hooks(&scene).iter().any(|hook| hook["hook"].as_str().is_some_and(|name| name.starts_with("clsact"))) {
        is_repaired(&scene, 1, delete);
        return all_is_well(&scene, 1);
    }
    here(&scene, "tc", &["qdisc", "add", "dev", INTERFACE, "clsact"]).expect("a clsact of others");
    all_is_well(&scene, 0);
    delete();
    all_is_well(&scene, 0);
}

/// What cannot be repaired is alarmed in the same time: the interface itself is gone.
#[test]
fn g20_an_interface_that_disappears_is_alarmed_within_a_second() {
    let Some(scene) = closed("g20_an_interface_that_disappears_is_alarmed_within_a_second") else { return };
    let begin = Instant::now();
    scene.site.balancers[0].machine.ip(&["link", "del", "dev", "back0"]).expect("an interface that is gone");
    let alarmed = || {
        let status = scene.site.balancers[0].api().json("/v1/status").map_err(|error| error.to_string())?;
        let of_both_hooks = named(&status["alarms"], "name", "hook_detached").len() == 2;
        if of_both_hooks { Ok(()) } else { Err(status["alarms"].to_string()) }
    };
    wait::until("an alarm for each hook", REPAIRED_WITHIN.saturating_sub(begin.elapsed()), alarmed).unwrap();
    assert_eq!(scene.site.balancers[0].api().metric("hedgerow_hooks_missing", &[]).unwrap(), 2);
    are_judged(&scene);
}

/// Does something to the hooks, and waits until the agent has put them right for this many times in all. The clock runs from before.
fn is_repaired(scene: &Scene, repaired: u64, deed: impl FnOnce()) {
    let begin = Instant::now();
    deed();
    let ask = || {
        let hooks = hooks(scene);
        let right = hooks.iter().all(|hook| hook["attached"] == true) && repairs(&hooks) == repaired;
        if right { Ok(()) } else { Err(Value::from(hooks).to_string()) }
    };
    wait::until("the hooks to be put right", REPAIRED_WITHIN.saturating_sub(begin.elapsed()), ask).expect("G20");
}

/// Every hook is attached, has been put right so often, there is no alarm, and packets are judged.
fn all_is_well(scene: &Scene, repaired: u64) {
    are_judged(scene);
    let hooks = hooks(scene);
    assert!(hooks.iter().all(|hook| hook["attached"] == true) && repairs(&hooks) == repaired, "{hooks:?}");
    let api = scene.site.balancers[0].api();
    let metric = |name: &str| api.metric(name, &[]).expect("metrics");
    assert_eq!((metric("hedgerow_hooks_missing"), metric("hedgerow_hooks_repaired_total")), (0, repaired));
    let status = api.json("/v1/status").expect("a status");
    assert_eq!(status["alarms"], Value::Array(Vec::new()));
}

/// Of what is sent either way nothing arrives, and every packet is counted as denied, once.
fn are_judged(scene: &Scene) {
    let (machine, stranger) = (&scene.site.balancers[0].machine, &scene.site.denied);
    let api = scene.site.balancers[0].api();
    let denied = |direction: &str| {
        let labels = ["reason=\"denied\"", "verdict=\"drop\"", &format!("direction=\"{direction}\"")];
        api.metric("hedgerow_packets_total", &labels).expect("metrics")
    };
    let before = [denied("ingress"), denied("egress")];
    let mut doors = Vec::new();
    for (own, other) in BALANCER.vip().into_iter().zip(STRANGER.vip()) {
        let at = |address: IpAddr, port: u16| SocketAddr::from((address, port));
        doors.push(socket(machine, at(own, PORT)));
        doors.push(socket(stranger, at(other, PORT)));
        send_many(stranger, at(other, PORT + 1), at(own, PORT), SENT);
        send_many(machine, at(own, PORT + 1), at(other, PORT), SENT);
    }
    let wanted = before.map(|count| count + (BALANCER.vip().len() * SENT) as u64);
    wait::until("what was sent to be counted", COUNTED_SECONDS_MAX, || {
        let now = [denied("ingress"), denied("egress")];
        if now == wanted { Ok(()) } else { Err(format!("{now:?} of {wanted:?} at ingress and egress")) }
    })
    .expect("every packet is counted once");
    assert_eq!(doors.iter().map(lying_at).sum::<usize>(), 0, "a denied packet arrived");
}

/// The hooks as the agent shows them.
fn hooks(scene: &Scene) -> Vec<Value> {
    let status = scene.site.balancers[0].api().json("/v1/status").expect("a status");
    status["enforcement"]["hooks"].as_array().expect("hooks").clone()
}

fn repairs(hooks: &[Value]) -> u64 {
    hooks.iter().map(|hook| hook["repaired"].as_u64().expect("a number of repairs")).sum()
}

/// The elements of a list that have this value under this name.
fn named<'a>(list: &'a Value, name: &str, value: &str) -> Vec<&'a Value> {
    list.as_array().map(|all| all.iter().filter(|one| one[name] == value).collect()).unwrap_or_default()
}

/// Every pin of a link at the interface.
fn link_pins(scene: &Scene) -> Vec<PathBuf> {
    let links = scene.site.balancers[0].bpffs().join("hedgerow/links");
    let entries =
        |dir: PathBuf| fs::read_dir(dir).expect("a directory of pins").map(|entry| entry.expect("a pin").path());
    let ours = entries(links).filter(|dir| dir.to_string_lossy().ends_with(&format!("-{INTERFACE}")));
    let mut pins: Vec<_> = ours.flat_map(entries).collect();
    pins.sort();
    pins
}

/// Runs a tool on the load balancer.
fn here(scene: &Scene, program: &str, arguments: &[&str]) -> Result<String, chaos_tests::LabError> {
    let command: Command = scene.site.balancers[0].machine.command(program, arguments);
    run::checked(command, run::TOOL_SECONDS_MAX)
}

/// Whether a tool is not installed, which is printed.
fn lacks(test: &str, tool: &str) -> bool {
    let absent = require::find(tool).is_none();
    if absent {
        require::say_skipped(test, &format!("needs the program `{tool}`"));
    }
    absent
}
