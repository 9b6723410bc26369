//! Flow events out of the kernel's ring buffer.

use aya::maps::{MapData, RingBuf};
use policy::{Direction, Flow};

use crate::{
    abi::{Event, address},
    enforcer::{FlowEvent, Hook},
    error::OpenError,
    object::Object,
    reason::Reason,
};

/// Bytes of the ring buffer: about ten thousand events.
pub(crate) const RING_BYTES: u32 = 1 << 20;

/// Where programs leave their events.
pub(crate) struct Events {
    ring: RingBuf<MapData>,
}

impl Events {
    pub(crate) fn open(object: &mut Object) -> Result<Events, OpenError> {
        let ring =
            RingBuf::try_from(object.take("hr_events")?).map_err(|error| Object::unusable("hr_events", &error))?;
        Ok(Events { ring })
    }

    /// Takes the oldest.
    pub(crate) fn take(&mut self, max: usize) -> Vec<FlowEvent> {
        let mut events = Vec::new();
        while events.len() < max {
            let Some(item) = self.ring.next() else { break };
            // An event of another version of the programs is of no use.
            events.extend(read(&item).and_then(|event| known(&event)));
        }
        events
    }
}

fn read(bytes: &[u8]) -> Option<Event> {
    if bytes.len() < size_of::<Event>() {
        return None;
    }
    // SAFETY: there are enough bytes, every pattern of bits is a valid event, and the read does not ask for alignment.
    Some(unsafe { bytes.as_ptr().cast::<Event>().read_unaligned() })
}

fn known(event: &Event) -> Option<FlowEvent> {
    let v6 = event.v6 != 0;
    let direction = if event.hook == 0 { Direction::Ingress } else { Direction::Egress };
    Some(FlowEvent {
        at_ns: event.time_ns,
        hook: Hook { ifindex: event.ifindex, direction },
        flow: Flow {
            src: address((event.src_hi, event.src_lo), v6),
            dst: address((event.dst_hi, event.dst_lo), v6),
            protocol: event.protocol,
            src_port: event.sport,
            dst_port: event.dport,
        },
        tcp_flags: event.tcp_flags,
        reason: Reason::from_number(u32::from(event.reason))?,
        ingress_rule: event.in_rule,
        egress_rule: event.out_rule,
        generation: event.generation,
        bytes: event.bytes,
        logged: event.logged != 0,
    })
}
