use identity::{Digest, NodeId};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    INCARNATION_MAX,
    member::{Attested, Meta},
    records::Stamp,
};

fn largest() -> Record {
    let meta = Meta {
        name: "n".repeat(1_000),
        version: "v".repeat(1_000),
        roles: vec!["r".repeat(1_000); 1_000],
        api: Some("[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap()),
        witness: true,
        attested: Some(Attested { revision: u64::MAX, generation: u32::MAX, digest: Digest([0xff; 32]) }),
        applied_index: u64::MAX,
        disarmed: true,
    };
    let stamp = Stamp { incarnation: INCARNATION_MAX, version: u64::MAX };
    Record { node: NodeId::new(u64::MAX).unwrap(), stamp, left: true, meta: meta.trimmed() }
}

#[test]
fn the_largest_record_is_as_large_as_stated() {
    let bytes = codec::encode(&largest()).len();
    assert!(bytes <= RECORD_BYTES_MAX, "{bytes}");
    let swim = Datagram::Swim { view: 0, record: Some(largest()), packet: vec![0; SWIM_BYTES_MAX].into() };
    assert!(swim.encode().len() <= PACKET_BYTES_MAX);
}

#[test]
fn the_largest_summary_fits_into_a_datagram() {
    let largest = largest();
    let stamps = vec![(largest.node, largest.stamp); SUMMARY_STAMPS_MAX];
    let summary = Datagram::Summary(Summary { first: u64::MAX, last: u64::MAX, answer: true, stamps });
    assert!(summary.encode().len() <= PACKET_BYTES_MAX);
}

#[test]
fn many_records_are_packed_into_few_datagrams() {
    let records = vec![largest(); 10];
    let packets = Datagram::pack(&records);
    assert_eq!(packets.len(), 4);
    let mut back = Vec::new();
    for packet in &packets {
        assert!(packet.len() <= PACKET_BYTES_MAX);
        match Datagram::decode(packet).unwrap() {
            Datagram::Records(records) => back.extend(records),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(back, records);
}

#[test]
fn metadata_beyond_the_limits_is_refused() {
    let mut record = largest();
    record.meta.name.push('n');
    let bytes = Datagram::Records(vec![record]).encode();
    assert!(matches!(Datagram::decode(&bytes), Err(DatagramError::Limits)));
}

proptest! {
    /// G15: whatever arrives, it is a datagram or an error, and what parses is written as it was read.
    #[test]
    fn any_bytes_parse_or_are_refused(mut bytes in vec(any::<u8>(), 0..1_200), kind in 0u8..4) {
        if let Some(first) = bytes.first_mut() {
            *first = FORM | kind;
        }
        let bytes = Bytes::from(bytes);
        if let Ok(datagram) = Datagram::decode(&bytes) {
            prop_assert_eq!(Datagram::decode(&datagram.encode()).unwrap(), datagram);
        }
    }
}
