//! G20: what others do to our hooks with the tools that there are is noticed and put right in less than a second, or alarmed.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use dataplane::{
    Attachment, Enforcer, HookError, HookState, HookStatus, Kernel, TcMode, XdpMode, testing::exchange_program,
};
use identity::Role;

use crate::{
    guard::{Guarded, guarded},
    lab::{self, ELSEWHERE, HERE, Lab, THERE_V4, activate, answers, deny_all, ok, run, silent},
    streams::{Streams, image},
};

/// How often the agent looks (`HOOKS_CHECK_EVERY` of the node).
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// What G20 promises.
const REPAIRED_WITHIN: Duration = Duration::from_secs(1);

/// A hook of a lab where everything is denied.
fn denying(xdp: XdpMode, tc: TcMode) -> (Lab, Kernel) {
    let lab = Lab::new();
    let mut kernel = Kernel::open(lab::config(&lab, xdp, tc)).unwrap();
    activate(&mut kernel, 1, &deny_all());
    assert_eq!(states(&mut kernel), [HookState::Attached, HookState::Attached]);
    (lab, kernel)
}

fn states(kernel: &mut Kernel) -> Vec<HookState> {
    kernel.check_hooks().unwrap().into_iter().map(|status: HookStatus| status.state).collect()
}

/// Looks, does something just after, and looks again when the agent would; from then on all is well.
fn repaired_after(kernel: &mut Kernel, what: &str, deed: impl FnOnce()) {
    assert_eq!(states(kernel), [HookState::Attached, HookState::Attached], "before {what}");
    let begin = Instant::now();
    deed();
    thread::sleep(CHECK_EVERY.saturating_sub(begin.elapsed()));
    let now = states(kernel);
    let took = begin.elapsed();
    assert!(now.contains(&HookState::Repaired) && now.iter().all(HookState::attached), "{what}: {now:?}");
    assert!(took < REPAIRED_WITHIN, "{what}: repaired after {took:?}");
    assert!(silent(THERE_V4), "after {what}");
    assert_eq!(states(kernel), [HookState::Attached, HookState::Attached], "after {what}");
    println!("{what}: repaired after {took:?}, {:?} of it the repair", took.saturating_sub(CHECK_EVERY));
}

/// Every pin of a link.
fn link_pins(lab: &Lab) -> Vec<String> {
    let directories = fs::read_dir(lab.bpffs.join("hedgerow/links")).unwrap().map(|entry| entry.unwrap().path());
    let pins = directories.flat_map(|path| fs::read_dir(path).unwrap());
    pins.map(|entry| entry.unwrap().path().display().to_string()).collect()
}

#[test]
fn g20_xdp_off_is_refused_to_others() {
    if lab::skipped() {
        return;
    }
    for (mode, word) in [(XdpMode::Native, "xdpdrv"), (XdpMode::Generic, "xdpgeneric")] {
        let (_lab, mut kernel) = denying(mode, TcMode::Auto);
        // The kernel lets nobody replace or remove a link's program but by the link (EBUSY).
        assert!(!ok(&format!("ip link set dev {HERE} {word} off")), "{word}");
        assert!(!ok(&format!("bpftool net detach {word} dev {HERE}")), "{word}");
        // Without a mode it means one that is not in use, or is refused: either way nothing happens.
        let _either_way = ok(&format!("ip link set dev {HERE} xdp off"));
        let _either_way = ok(&format!("bpftool net detach xdp dev {HERE}"));
        assert_eq!(states(&mut kernel), [HookState::Attached, HookState::Attached]);
        assert!(kernel.attest().unwrap().holds() && silent(THERE_V4));
    }
}

#[test]
fn g20_links_that_bpftool_detaches_are_repaired() {
    if lab::skipped() {
        return;
    }
    for mode in [XdpMode::Native, XdpMode::Generic, XdpMode::Off] {
        let (lab, mut kernel) = denying(mode, TcMode::Auto);
        for pin in link_pins(&lab) {
            let name = pin.rsplit('/').next().unwrap_or_default().to_owned();
            repaired_after(&mut kernel, &format!("bpftool link detach {name}"), || {
                run(&format!("bpftool link detach pinned {pin}"));
            });
        }
    }
}

#[test]
fn g20_a_clsact_that_is_deleted_is_repaired() {
    if lab::skipped() {
        return;
    }
    let (_lab, mut kernel) = denying(XdpMode::Off, TcMode::Clsact);
    repaired_after(&mut kernel, "tc qdisc del clsact", || {
        run(&format!("tc qdisc del dev {HERE} clsact"));
        assert!(answers(THERE_V4), "nothing judges");
    });
    repaired_after(&mut kernel, "tc filter del egress", || run(&format!("tc filter del dev {HERE} egress")));
    kernel.detach_all().unwrap();
    if lab::traffic_control() != Attachment::Tcx {
        return;
    }
    // Under TCX the queueing discipline of others comes and goes beside ours.
    let (_lab, mut kernel) = denying(XdpMode::Off, TcMode::Auto);
    run(&format!("tc qdisc add dev {HERE} clsact && tc qdisc del dev {HERE} clsact"));
    assert_eq!(states(&mut kernel), [HookState::Attached, HookState::Attached]);
    assert!(silent(THERE_V4));
}

#[test]
fn g20_pins_that_are_removed_are_made_again() {
    if lab::skipped() {
        return;
    }
    let (lab, mut kernel) = denying(XdpMode::Auto, TcMode::Auto);
    let pins = lab.bpffs.join("hedgerow");
    for directory in ["links", "maps", ""] {
        let gone = pins.join(directory);
        repaired_after(&mut kernel, &format!("rm -r hedgerow/{directory}"), || fs::remove_dir_all(gone).unwrap());
    }
    let live = kernel.active();
    // As after a kill: what is pinned is all there is.
    drop(kernel);
    assert!(silent(THERE_V4));
    let mut kernel = lab::open(&lab);
    assert_eq!(kernel.active(), live);
    assert!(kernel.attest().unwrap().holds() && silent(THERE_V4));
    // Without a file system for pins there is an alarm, and packets are judged all the same.
    run(&format!("umount {}", lab.bpffs.display()));
    let error = kernel.check_hooks().unwrap_err();
    assert!(matches!(error, HookError::Pins { .. }), "{error}");
    assert!(silent(THERE_V4));
    run(&format!("mount -t bpf bpf {}", lab.bpffs.display()));
    assert_eq!(states(&mut kernel), [HookState::Repaired, HookState::Repaired]);
    drop(kernel);
    assert_eq!(lab::open(&lab).active(), live);
}

#[test]
fn g20_what_cannot_be_repaired_is_alarmed() {
    if lab::skipped() {
        return;
    }
    let (lab, mut kernel) = denying(XdpMode::Off, TcMode::Clsact);
    let missing = |kernel: &mut Kernel, why: &str| {
        let now = states(kernel);
        let is_it = |state: &HookState| matches!(state, HookState::Missing { because } if because.contains(why));
        assert!(now.iter().any(is_it), "{now:?}");
        assert!(!kernel.attest().unwrap().holds());
    };
    if lab::traffic_control() == Attachment::Tcx {
        // Programs under TCX come before every filter, and clsact is what the configuration asks for.
        let stranger = stranger(&lab);
        missing(&mut kernel, "by TCX, which comes before clsact");
        stranger.detach_all().unwrap();
        assert_eq!(states(&mut kernel), [HookState::Attached, HookState::Attached]);
    }
    // Somebody takes our priority for a protocol of its own: there is no place left for ours.
    let program = foreign_program(&lab);
    run(&format!(
        "tc qdisc del dev {HERE} clsact; tc qdisc add dev {HERE} clsact; \
         tc filter add dev {HERE} egress protocol ip prio 1 handle 7 bpf da object-pinned {program}"
    ));
    missing(&mut kernel, "cannot be attached");
    run(&format!("tc filter del dev {HERE} egress"));
    assert!(states(&mut kernel).iter().all(HookState::attached));
    run(&format!("ip link del {HERE}"));
    missing(&mut kernel, "");
}

/// A foreign data path on the same interface.
fn stranger(lab: &Lab) -> Kernel {
    lab::elsewhere(lab, vec![lab.interface(Role::Cluster)])
}

/// A program of somebody else, which lets everything pass, pinned and attached nowhere.
fn foreign_program(lab: &Lab) -> String {
    let [kept, _] = foreign_programs(lab);
    kept.display().to_string()
}

/// One for traffic control and one for XDP.
fn foreign_programs(lab: &Lab) -> [PathBuf; 2] {
    let kernel = lab::elsewhere(lab, Vec::new());
    let pinned =
        fs::read_dir(lab.bpffs.join(ELSEWHERE).join("hedgerow/progs")).unwrap().map(|entry| entry.unwrap().path());
    let pinned: Vec<PathBuf> = pinned.collect();
    let kept = ["hr_egress", "hr_xdp"].map(|name| {
        let program = pinned.iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name));
        let kept = lab.bpffs.join(format!("foreign_{name}"));
        fs::rename(program.unwrap(), &kept).unwrap();
        kept
    });
    kernel.detach_all().unwrap();
    kept
}

/// Exchanges the program of a link that is pinned.
fn put_behind(link: &str, [traffic_control, xdp]: &[PathBuf; 2]) {
    exchange_program(link.as_ref(), if link.contains("xdp") { xdp } else { traffic_control }).unwrap();
}

#[test]
fn g20_a_foreign_program_behind_our_own_link_is_put_out_of_it() {
    if lab::skipped() {
        return;
    }
    let mut modes = vec![XdpMode::Native, XdpMode::Generic];
    if lab::traffic_control() == Attachment::Tcx {
        // Under clsact there is no link but that of XDP.
        modes.push(XdpMode::Off);
    }
    for mode in modes {
        let (lab, mut kernel) = denying(mode, TcMode::Auto);
        let foreign = foreign_programs(&lab);
        let links = link_pins(&lab);
        repaired_after(&mut kernel, &format!("bpf_link_update of {links:?}"), || {
            links.iter().for_each(|link| put_behind(link, &foreign));
        });
        // A single one, and without a repair at once.
        for link in links {
            put_behind(&link, &foreign);
            assert!(!kernel.attest().unwrap().holds(), "{link}");
            let now = states(&mut kernel);
            assert!(now.contains(&HookState::Repaired) && now.contains(&HookState::Attached), "{link}: {now:?}");
            assert!(kernel.attest().unwrap().holds(), "{link}");
        }
    }
}

/// Two members with traffic between them, what arrives being judged where others can get in the way.
fn with_streams(tc: TcMode) -> (Guarded, Kernel, Streams) {
    let mut bed = guarded();
    drop(bed.kernel.take());
    let mut kernel = Kernel::open(lab::config(&bed.lab, XdpMode::Off, tc)).unwrap();
    kernel.set_guard(&bed.guard).unwrap();
    activate(&mut kernel, 2, &image(0));
    let streams = Streams::begin(&bed.lab);
    (bed, kernel, streams)
}

/// How often somebody insists on being first.
const INSISTS: usize = 5;

#[test]
fn g20_a_stranger_who_insists_on_being_first_under_tcx_opens_no_gap() {
    if lab::skipped_without_tcx() {
        return;
    }
    let (bed, mut kernel, streams) = with_streams(TcMode::Auto);
    // Each look gets one program ready to be moved: the agent has looked that often after two seconds.
    for _ in 0..4 {
        assert_eq!(states(&mut kernel), [HookState::Attached, HookState::Attached]);
    }
    let mut times = Vec::new();
    for _ in 0..INSISTS {
        let stranger = stranger(&bed.lab);
        assert!(!kernel.attest().unwrap().holds());
        let begin = Instant::now();
        assert_eq!(states(&mut kernel), [HookState::Repaired, HookState::Repaired]);
        times.push(begin.elapsed());
        assert_eq!(states(&mut kernel), [HookState::Attached, HookState::Attached]);
        assert!(kernel.attest().unwrap().holds());
        assert_eq!(streams.damage(), [0; 4]);
        stranger.detach_all().unwrap();
    }
    assert!(streams.end() > 0);
    times.sort_unstable();
    // The median: other tests have the processors too.
    assert!(CHECK_EVERY + times[INSISTS / 2] < REPAIRED_WITHIN, "{times:?}");
    println!("put first again in {times:?}");
}

#[test]
fn g20_a_filter_that_puts_itself_first_under_clsact_is_put_behind_without_a_gap() {
    if lab::skipped() {
        return;
    }
    let (bed, mut kernel, streams) = with_streams(TcMode::Clsact);
    let program = foreign_program(&bed.lab);
    for handle in 1..=INSISTS {
        run(&format!(
            "for hook in ingress egress; do tc filter add dev {HERE} $hook prio 1 handle {handle} bpf da object-pinned {program}; done"
        ));
        assert!(!kernel.attest().unwrap().holds());
        assert_eq!(states(&mut kernel), [HookState::Repaired, HookState::Repaired]);
        assert_eq!(states(&mut kernel), [HookState::Attached, HookState::Attached]);
        let shown = || lab::output(&format!("tc filter show dev {HERE} egress"));
        assert!(!shown().contains("0x4853"), "nothing stands in any more: {}", shown());
    }
    assert!(streams.end() > 0);
    kernel.detach_all().unwrap();
}
