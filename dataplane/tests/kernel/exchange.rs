//! G13, G6: tables of another layout take over what the ones before knew.

use std::{net::UdpSocket, time::Duration};

use dataplane::{Enforcer, Kernel, TableSizes, TcMode, Timeouts, XdpMode};

use crate::{
    child::sizes,
    lab::{self, HERE_V4, Lab, THERE_V4, activate, answers, deny_all, silent},
    streams::image,
};

/// How long a question waits for its answer: where loading is slow, longer than by default.
const UNANSWERED_S: u32 = 600;
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

fn open(lab: &Lab, sizes: TableSizes) -> Kernel {
    let timeouts = Timeouts { udp_opening_s: UNANSWERED_S, ..Timeouts::default() };
    let config = dataplane::KernelConfig { sizes, timeouts, ..lab::config(lab, XdpMode::Auto, TcMode::Auto) };
    Kernel::open(config).unwrap()
}

/// A question has gone out before the tables are exchanged; its answer comes afterwards, once and needing its entry.
fn an_answer_survives(lab: &Lab, before: TableSizes, after: TableSizes) {
    let mut kernel = open(lab, before);
    activate(&mut kernel, 1, &image(0));
    let generation = kernel.active().unwrap().generation;
    let here = UdpSocket::bind((HERE_V4, 0)).unwrap();
    let there = lab.at_peer(|| UdpSocket::bind((THERE_V4, 0)).unwrap());
    here.send_to(b"question", there.local_addr().unwrap()).unwrap();
    drop(kernel);
    let mut kernel = open(lab, after);
    assert!(kernel.is_waiting());
    activate(&mut kernel, 2, &image(1));
    assert!(!kernel.is_waiting());
    assert_eq!(kernel.active().unwrap().generation, generation + 1);
    let address = here.local_addr().unwrap();
    here.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(there.send_to(b"answer", address).unwrap(), 6);
    assert_eq!(here.recv(&mut [0; 16]).unwrap(), 6, "the answer's entry was taken along");
    // From another socket it is no answer.
    let other = lab.at_peer(|| UdpSocket::bind((THERE_V4, 0)).unwrap());
    here.set_read_timeout(Some(SHORT)).unwrap();
    other.send_to(b"unasked", address).unwrap();
    assert!(here.recv(&mut [0; 16]).is_err());
}

#[test]
fn g13_an_answer_survives_the_exchange_of_tables() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    // With room for as many flows they are shared; otherwise they are copied.
    an_answer_survives(&lab, sizes(0), sizes(1));
    an_answer_survives(&lab, sizes(1), sizes(2));
    an_answer_survives(&lab, sizes(2), sizes(0));
}

#[test]
fn g6_tables_that_were_left_behind_do_not_bring_back_an_old_policy() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut kernel = open(&lab, sizes(0));
    activate(&mut kernel, 1, &policy::Image::empty_allow());
    drop(kernel);
    // As if the process had died before it removed the first tables: they are pinned at a place where nobody looks, and put back.
    let maps = lab.bpffs.join("hedgerow/maps");
    let first = std::fs::read_dir(&maps).unwrap().next().unwrap().unwrap().path();
    let aside = lab.bpffs.join("aside");
    std::fs::create_dir(&aside).unwrap();
    for pin in std::fs::read_dir(&first).unwrap() {
        let pin = pin.unwrap();
        std::fs::rename(pin.path(), aside.join(pin.file_name())).unwrap();
    }
    let mut kernel = open(&lab, sizes(1));
    activate(&mut kernel, 2, &deny_all());
    activate(&mut kernel, 3, &deny_all());
    let generation = kernel.active().unwrap().generation;
    drop(kernel);
    std::fs::rename(&aside, &first).unwrap();
    let mut kernel = open(&lab, sizes(0));
    assert!(kernel.is_waiting() && kernel.active().is_none());
    assert!(silent(THERE_V4), "the tables with the newer generation go on");
    activate(&mut kernel, 4, &deny_all());
    assert_eq!(kernel.active().unwrap().generation, generation + 1);
    assert!(silent(THERE_V4));
}

#[test]
fn disarming_reaches_the_programs_that_still_wait_to_be_exchanged() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut kernel = open(&lab, sizes(0));
    activate(&mut kernel, 1, &deny_all());
    drop(kernel);
    let mut kernel = open(&lab, sizes(1));
    assert!(kernel.is_waiting() && silent(THERE_V4));
    kernel.set_disarmed(true);
    assert!(answers(THERE_V4));
    drop(kernel);
    // Another one finds it so.
    let mut kernel = open(&lab, sizes(1));
    assert!(kernel.disarmed());
    activate(&mut kernel, 2, &deny_all());
    assert!(answers(THERE_V4));
    kernel.set_disarmed(false);
    assert!(silent(THERE_V4));
}
