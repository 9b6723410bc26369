//! Random frames: well formed, damaged, fragments, extension headers, ICMP errors about others.

use dataplane::testing::frame_of;
use policy::{
    Flow,
    sample::{FlowSampler, SplitMix64},
};

use super::guards::JOIN_PORT;

/// Damages a frame as an attacker or a bad cable might.
fn mutate(frame: &mut Vec<u8>, random: &mut SplitMix64) {
    for _ in 0..random.below(4) {
        let at = 12 + random.below(frame.len().saturating_sub(12).min(60));
        match random.below(7) {
            0 => frame[at] = random.byte(),
            1 => frame[at] ^= 1 << random.below(8),
            2 => frame.truncate(14.max(at)),
            3 => insert(frame, 12, &[0x81, 0x00, 0, random.byte() & 1]),
            4 => extend_v6(frame, random),
            5 => fragment_v4(frame, random),
            _ => frame.extend((0..random.below(40)).map(|_| random.byte())),
        }
        if frame.len() < 40 {
            frame.resize(40, 0);
        }
    }
}

fn insert(frame: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    frame.splice(at..at, bytes.iter().copied());
}

fn is_kind(frame: &[u8], kind: [u8; 2]) -> bool {
    frame.len() > 60 && frame[12..14] == kind
}

/// Puts an extension header behind the IPv6 header.
fn extend_v6(frame: &mut Vec<u8>, random: &mut SplitMix64) {
    if !is_kind(frame, [0x86, 0xdd]) {
        return;
    }
    let next = *random.pick(&[0u8, 43, 44, 60, 60, 44, 51, 59, 135]);
    let mut header = [frame[20], 0, random.byte() & 1, random.byte() & 0x19, 0, 0, 0, random.byte() & 1];
    header[1] = if next == 44 { 0 } else { random.byte() & 1 };
    frame[20] = next;
    insert(frame, 54, &header);
    let length = u16::from_be_bytes([frame[18], frame[19]]).wrapping_add(8);
    frame[18..20].copy_from_slice(&length.to_be_bytes());
}

/// Makes an IPv4 packet a fragment.
fn fragment_v4(frame: &mut [u8], random: &mut SplitMix64) {
    if is_kind(frame, [0x08, 0x00]) {
        frame[20] = *random.pick(&[0x20, 0x00, 0x20, 0x1f]);
        frame[21] = random.byte() & 3;
    }
}

/// Makes a packet one of a few fragments of a few datagrams, of which the first may be to another port.
fn fragment(frame: &mut Vec<u8>, random: &mut SplitMix64) {
    let (start, more) = (*random.pick(&[0, 0, 8, 16, 24, 64]), random.byte() & 1);
    let v4 = frame[12..14] == [0x08, 0x00];
    let ports = if v4 { 34 } else { 54 };
    if random.once_in(4) {
        frame[ports + 3] ^= 1;
    }
    if v4 {
        frame[20..22].copy_from_slice(&[more << 5, start / 8]);
    } else {
        let next = std::mem::replace(&mut frame[20], 44);
        insert(frame, 54, &[next, 0, 0, start | more, 0, 0, 0, 7]);
        frame[19] += 8;
    }
}

/// An ICMP error that quotes a packet of the flow, told to its source or to somebody else.
fn error_about(flow: &Flow, random: &mut SplitMix64) -> Vec<u8> {
    let v6 = flow.src.is_ipv6();
    let (protocol, kinds): (u8, &[u8]) = if v6 { (58, &[1, 2, 3, 4, 128]) } else { (1, &[3, 11, 12, 8, 5]) };
    let to = if random.once_in(4) { flow.dst } else { flow.src };
    let kind = u16::from(*random.pick(kinds)) << 8;
    let outer = Flow { src: flow.dst, dst: to, protocol, src_port: 0, dst_port: kind };
    let mut frame = frame_of(&outer, 0);
    frame.truncate(frame.len() - 4);
    let quoted = frame_of(flow, random.byte());
    let kept = if random.once_in(5) { random.below(quoted.len() - 14) } else { quoted.len() - 14 };
    frame.extend(&quoted[14..14 + kept]);
    let (at, length) = if v6 { (18, frame.len() - 54) } else { (16, frame.len() - 14) };
    frame[at..at + 2].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    frame
}

/// A frame of a flow that policies or the guard have something to say about, whole or damaged.
pub(crate) fn random_frame(sampler: &FlowSampler, guarded: &[Flow], random: &mut SplitMix64) -> Vec<u8> {
    let mut flow = if random.once_in(3) { *random.pick(guarded) } else { sampler.flow(random) };
    if flow.protocol == 17 && random.once_in(4) {
        flow.dst_port = JOIN_PORT;
    }
    if random.once_in(3) {
        flow = flow.reverse();
    }
    let flags = *random.pick(&[0x02, 0x12, 0x10, 0x11, 0x04, 0x00, 0x03, 0x18, 0x29]);
    let mut frame = if random.once_in(6) { error_about(&flow, random) } else { frame_of(&flow, flags) };
    match random.below(8) {
        0 => fragment(&mut frame, random),
        1..=4 => mutate(&mut frame, random),
        _ => {}
    }
    frame
}

/// Whether there is a fragment, as far as one can tell without walking.
pub(crate) fn is_fragment(frame: &[u8]) -> bool {
    let v4 = is_kind(frame, [0x08, 0x00]) && (frame[20] & 0x3f != 0 || frame[21] != 0);
    v4 || is_kind(frame, [0x86, 0xdd]) && frame[20] == 44
}
