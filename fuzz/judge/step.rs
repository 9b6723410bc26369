//! An input as steps, and steps as an input.

use dataplane::testing::Arrival;
use policy::Direction;

/// Steps of one input that are taken.
pub(crate) const STEPS_MAX: usize = 48;
/// Longest frame: what XDP takes by test run.
const FRAME_BYTES_MAX: usize = 3_400;

/// The low bits of a step's first byte.
const KINDS: u8 = 0b111;
const CUT: u8 = 5;
const FLIP: u8 = 6;
const WAIT: u8 = 7;
/// Another bit of it: the packet leaves.
const LEAVES: u8 = 0b1000;
/// And two more: how it comes.
const ARRIVAL_SHIFT: u32 = 4;

/// What happens next.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A packet that both see; `linear` bytes of it at first, 0: all.
    Packet { arrival: Arrival, direction: Direction, linear: usize, frame: &'a [u8] },
    /// A packet of which the programs see only the beginning.
    Cut { direction: Direction, linear: usize, frame: &'a [u8] },
    /// The other policy becomes the live one.
    Flip,
    /// Seconds pass.
    Wait(u64),
}

/// The steps of an input: a byte with the kind, one with a number, and for packets two with the length and then the frame.
pub(crate) fn steps(mut input: &[u8]) -> impl Iterator<Item = Step<'_>> {
    std::iter::from_fn(move || {
        let (&[first, number], rest) = input.split_first_chunk()?;
        input = rest;
        match first & KINDS {
            FLIP => return Some(Step::Flip),
            WAIT => return Some(Step::Wait(u64::from(number))),
            _ => {}
        }
        let (&length, rest) = input.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(length)).min(rest.len()).min(FRAME_BYTES_MAX);
        let (frame, rest) = rest.split_at(length);
        input = rest;
        let direction = if first & LEAVES == 0 { Direction::Ingress } else { Direction::Egress };
        let linear = usize::from(number);
        Some(match first & KINDS {
            CUT => Step::Cut { direction, linear, frame },
            _ => Step::Packet {
                arrival: Arrival::ALL[usize::from(first >> ARRIVAL_SHIFT & 3)],
                direction,
                linear,
                frame,
            },
        })
    })
}

/// The bytes of a packet that both see.
pub(crate) fn packet(arrival: u8, direction: Direction, frame: &[u8]) -> Vec<u8> {
    let leaves = if direction == Direction::Egress { LEAVES } else { 0 };
    let length = u16::try_from(frame.len().min(FRAME_BYTES_MAX)).expect("it was cut to less");
    let mut bytes = vec![leaves | (arrival & 3) << ARRIVAL_SHIFT, 0];
    bytes.extend(length.to_le_bytes());
    bytes.extend(&frame[..usize::from(length)]);
    bytes
}

/// The bytes of a change of the revision.
pub(crate) fn flip() -> Vec<u8> {
    vec![FLIP, 0]
}
