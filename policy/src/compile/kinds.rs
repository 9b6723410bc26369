//! Kinds of subjects: the rows of a part.

use super::{
    intern::{Interner, number},
    lists::Lists,
    ports::PortAtoms,
    terms::{Part, Signatures},
    variant::Variant,
};
use crate::{image::NONE, verdict::Side};

/// Kinds of subjects: those to which the same policies apply in the same way.
pub(super) struct Kinds<'a> {
    pub(super) row_of: Vec<u32>,
    /// The variants of each row, in the order of the policies.
    pub(super) rows: Vec<Vec<u32>>,
    pub(super) variants: Vec<Variant<'a>>,
    /// In how many rows each variant is.
    pub(super) uses: Vec<usize>,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(part: &'a Part, subjects: &Signatures, ports: &mut PortAtoms) -> Kinds<'a> {
        let policies = || (0u32..).zip(&part.policies);
        let to_all: Vec<u32> =
            policies().filter(|(_, policy)| policy.subject.is_none()).map(|(position, _)| position).collect();
        let applying = policies().filter_map(|(position, policy)| Some((policy.subject?, position)));
        let applying = Lists::grouped(part.subjects.len(), applying);
        let (mut rows, mut variants, mut keys) = (Interner::default(), Vec::new(), Interner::default());
        let row_of = (0..number(subjects.len())).map(|signature| {
            let terms = subjects.terms(signature);
            let mut policies = to_all.clone();
            policies.extend(terms.iter().flat_map(|&term| applying.get(term)));
            policies.sort_unstable();
            if policies.is_empty() {
                return NONE;
            }
            let row: Vec<u32> = policies
                .into_iter()
                .map(|position| {
                    let policy = &part.policies[position as usize];
                    let targets = held(&policy.targets, terms);
                    let key = keys.id(&[&[position], targets.as_slice()].concat());
                    if key as usize == variants.len() {
                        let targets = (part.side == Side::Ingress).then_some(targets.as_slice());
                        variants.push(Variant::new(policy, targets, ports));
                    }
                    key
                })
                .collect();
            rows.id(&row)
        });
        let row_of = row_of.collect();
        let rows: Vec<Vec<u32>> = (0..number(rows.len())).map(|row| rows.list(row).to_vec()).collect();
        let mut uses = vec![0; variants.len()];
        rows.iter().flatten().for_each(|&variant| uses[variant as usize] += 1);
        Kinds { row_of, rows, variants, uses }
    }

    /// How many rows name each term of a peer (counted once for each policy that does).
    pub(super) fn mentions(&self, terms: usize) -> Vec<usize> {
        let mut mentions = vec![0; terms];
        for (variant, uses) in self.variants.iter().zip(&self.uses) {
            variant.policy.mentions.iter().for_each(|&term| mentions[term as usize] += uses);
        }
        mentions
    }
}

/// The elements of `few` that are in `terms`; both ascending.
fn held(few: &[u32], terms: &[u32]) -> Vec<u32> {
    few.iter().copied().filter(|term| terms.binary_search(term).is_ok()).collect()
}
