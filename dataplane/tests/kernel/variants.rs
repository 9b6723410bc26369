//! Every program, in every variant, passes the verifier of the kernel at hand.

use dataplane::{TableSizes, testing::load_every_program};

use crate::lab::{self, Lab};

#[test]
fn every_variant_loads() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let small = TableSizes::small();
    for sizes in [small, TableSizes { chunks_apart: false, ..small }, TableSizes::default()] {
        let verified = load_every_program(&lab.bpffs, sizes).unwrap();
        assert!(verified.len() >= 20, "{verified:?}");
        // Kernels give up at a million: the rest is for kernels that see less at once.
        let most = verified.iter().max_by_key(|(_, count)| *count).unwrap();
        assert!(most.1 < 400_000, "{most:?}");
        println!("{} programs, the most for one: {} ({} instructions verified)", verified.len(), most.0, most.1);
    }
}
