//! A hook with a policy, and packets for it: what tests of state and of limits stand on.

use dataplane::{Hook, Kernel};
use policy::{Direction, Image};

use crate::lab::{self, HERE, Lab, activate, ifindex};

pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

pub(crate) const VIP: &str = "203.0.113.10";
pub(crate) const CLIENT: &str = "198.51.100.7";

/// A lab and what enforces in it.
pub(crate) struct Bed {
    pub(crate) lab: Lab,
    pub(crate) kernel: Kernel,
}

impl Bed {
    /// With this image as revision 1.
    pub(crate) fn new(image: &Image) -> Bed {
        let lab = Lab::new();
        let mut kernel = lab::open(&lab);
        activate(&mut kernel, 1, image);
        Bed { lab, kernel }
    }

    pub(crate) fn hook(direction: Direction) -> Hook {
        Hook { ifindex: ifindex(HERE), direction }
    }
}
