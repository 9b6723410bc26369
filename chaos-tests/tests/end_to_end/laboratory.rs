//! The laboratory itself: it stands up, it can be cut, and it leaves nothing behind.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chaos_tests::faults::Paused;
use chaos_tests::invariants::{MasterWatch, PeersWatch, masters_now};
use chaos_tests::lab::{Lab, Network, leftovers};
use chaos_tests::probe::{HttpProbe, connect, stick_table};
use chaos_tests::site::{Site, SiteConfig, vip4, vip6};
use chaos_tests::{require, wait};
use rustix::process::Signal;

const SECOND: Duration = Duration::from_secs(1);

fn skip(test: &str) -> bool {
    let missing = require::missing();
    if let Some(reason) = &missing {
        require::say_skipped(test, reason);
    }
    missing.is_some()
}

/// Everything is gone after a drop, and after a panic in the middle of a test.
#[test]
fn nothing_is_left_behind_even_after_a_panic() {
    if skip("nothing_is_left_behind_even_after_a_panic") {
        return;
    }
    let mut name = String::new();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let lab = Lab::new().unwrap();
        name = lab.name().to_owned();
        let machine = lab.namespace("one").unwrap();
        lab.bpffs("one/bpf").unwrap();
        let mut sleep = Command::new("sleep");
        sleep.arg("1000");
        let daemon = lab.daemon(&machine, "sleep", &sleep).unwrap();
        assert!(leftovers(&name).len() >= 4, "{:?}", leftovers(&name));
        daemon.forget();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!(leftovers(&name), []);
}

/// A cut goes both ways and only between the machines named, and heals.
#[test]
fn a_cut_goes_both_ways_and_heals() {
    if skip("a_cut_goes_both_ways_and_heals") {
        return;
    }
    let lab = Lab::new().unwrap();
    let net = Network::new(&lab, "net").unwrap();
    let machines: Vec<_> = (1..=3)
        .map(|n| {
            let machine = lab.namespace(&format!("m{n}")).unwrap();
            net.plug(&machine, "eth0", &[format!("10.99.0.{n}/24"), format!("fd99::{n}/64")]).unwrap();
            machine
        })
        .collect();
    // A refused connection is an answer from the other side; only silence is a cut.
    let hears = |from: usize, to: &str| {
        let answer = connect(&machines[from], format!("{to}:9").parse().unwrap(), SECOND / 4).unwrap();
        answer.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    let all = || [hears(0, "10.99.0.2"), hears(1, "10.99.0.1"), hears(0, "[fd99::2]"), hears(2, "10.99.0.2")];
    // A neighbour that was silent is asked again once a second.
    let heard = |wanted: [bool; 4]| wait::until_true(&format!("{wanted:?}"), 10 * SECOND, || all() == wanted).unwrap();
    heard([true; 4]);
    let cut = net.isolate(&machines[0]).unwrap();
    assert_eq!(all(), [false, false, false, true]);
    let other = net.cut(&["m2".into()], &["m3".into()]).unwrap();
    assert_eq!(all(), [false; 4]);
    cut.heal().unwrap();
    heard([true, true, true, false]);
    drop(other);
    heard([true; 4]);
}

/// How often a load balancer became master, for whatever reason.
fn became_master(watch: &MasterWatch, site: &Site) -> usize {
    let changes = watch.changes(site);
    changes.counted.len() + changes.stalled.len()
}

/// The site stands without Hedgerow: one master, connected peers, pages through the virtual addresses. What the other tests
/// measure is Hedgerow's doing only if this holds.
#[test]
fn the_site_works_without_hedgerow() {
    if skip("the_site_works_without_hedgerow") {
        return;
    }
    let lab_program = Path::new(env!("CARGO_BIN_EXE_hedgerow-lab")).to_owned();
    let config = SiteConfig { balancers: 3, program: "hedgerow".into(), lab_program };
    let mut site = Site::new(&config).unwrap();
    for index in 0..3 {
        site.start_services(index).unwrap();
    }
    site.settle(3).unwrap();
    for to in [vip4(), vip6()] {
        for client in [&site.allowed, &site.denied] {
            let answer = HttpProbe { to, limit: SECOND }.from(client).unwrap().unwrap();
            assert!(answer.body.starts_with("web"), "{answer:?}");
        }
    }
    connect(site.web_machine(0), site.balancers[0].addresses.health(), SECOND).unwrap().unwrap();
    let master = masters_now(&site.balancers).unwrap();
    let master = site.balancers.iter().position(|one| [one.name()] == *master).expect("exactly one master");
    let backup = (master + 1) % 3;
    wait::until_true("the backup to learn the client's entry", 5 * SECOND, || {
        stick_table(&site.balancers[backup].haproxy_socket(), "web").is_ok_and(|lines| !lines.is_empty())
    })
    .unwrap();
    let masters = MasterWatch::start(&site);
    let peers = PeersWatch::start(&site.balancers).unwrap();
    assert_eq!((peers.count(), became_master(&masters, &site)), (6, 0));
    // Cutting the master's VIP network must show: a probe that cannot fail shows nothing.
    let cut = site.networks.vip.isolate(&site.balancers[master].machine).unwrap();
    wait::until_true("another master in both families", 5 * SECOND, || became_master(&masters, &site) >= 2).unwrap();
    cut.heal().unwrap();
    let cut = site.networks.cluster.isolate(&site.balancers[0].machine).unwrap();
    wait::until_true("broken peers", 20 * SECOND, || !peers.broken(&site.balancers).unwrap().is_empty()).unwrap();
    cut.heal().unwrap();
    let name = site.lab.name().to_owned();
    drop(site);
    assert_eq!(leftovers(&name), []);
}

/// A paused daemon answers nothing and goes on afterwards.
#[test]
fn a_paused_daemon_goes_on() {
    if skip("a_paused_daemon_goes_on") {
        return;
    }
    let lab = Lab::new().unwrap();
    let machine = lab.namespace("one").unwrap();
    let to = "127.0.0.1:80".parse().unwrap();
    let mut web = Command::new(env!("CARGO_BIN_EXE_hedgerow-lab"));
    web.args(["web", "--name", "it", "127.0.0.1:80"]);
    let daemon = lab.daemon(&machine, "web", &web).unwrap();
    let probe = HttpProbe { to, limit: SECOND / 4 };
    let answers = || probe.from(&machine).unwrap().is_ok();
    wait::until_true("the first answer", 5 * SECOND, answers).unwrap();
    let paused = Paused::new(&daemon).unwrap();
    assert!(!answers());
    drop(paused);
    wait::until_true("the next answer", 5 * SECOND, answers).unwrap();
    daemon.stop(5 * SECOND).unwrap();
}

/// What the test below says to its own child.
const HOLD: &str = "HEDGEROW_LAB_TEST_HOLD";

/// SIGTERM and SIGINT take everything down before the process ends.
#[test]
fn a_signal_tears_everything_down() {
    let test = "a_signal_tears_everything_down";
    if skip(test) {
        return;
    }
    if std::env::var_os(HOLD).is_some() {
        let lab = Lab::new().unwrap();
        lab.namespace("one").unwrap();
        lab.bpffs("one/bpf").unwrap();
        writeln!(std::io::stdout(), "\nlab={}", lab.name()).unwrap();
        loop {
            std::thread::park();
        }
    }
    for signal in [Signal::TERM, Signal::INT] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("laboratory::{test}"), "--nocapture"])
            .env(HOLD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let name = lines.find_map(|line| line.strip_prefix("lab=").map(str::to_owned)).unwrap();
        assert!(!leftovers(&name).is_empty());
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(leftovers(&name), []);
    }
}
