//! The evasion corpus through the native programs: each frame has its stated verdict, however it arrives.

use dataplane::{
    Hook, TableSizes,
    testing::{Arrival, Twins},
};

use crate::{
    driver,
    shared::{corpus, members},
};

#[test]
fn every_crafted_frame_has_its_stated_verdict_natively() {
    let Some(driver) = driver::start() else { return };
    let interface = members::interface();
    let interfaces = std::slice::from_ref(&interface);
    let mut twins = Twins::new(driver, 0, interfaces, &corpus::guard(&interface), TableSizes::small()).unwrap();
    twins.activate(corpus::image()).unwrap();
    let files = corpus::files();
    for arrival in Arrival::ALL {
        twins.begin().unwrap();
        for (name, steps) in &files {
            for (number, step) in (1..).zip(steps) {
                let hook = Hook { ifindex: interface.ifindex, direction: step.direction };
                let judged = twins.judge(hook, &step.frame, step.frame.len() / 2).unwrap();
                assert_eq!(judged.reason.name(), step.verdict, "{name}, step {number}: {} bytes", step.frame.len());
                twins.receive(arrival, hook, &step.frame, step.frame.len() / 2).unwrap();
                twins.settle().unwrap_or_else(|error| panic!("{name}, step {number}, {arrival:?}: {error}"));
            }
        }
        twins.compare_counters().unwrap_or_else(|error| panic!("{arrival:?}: {error}"));
    }
}
