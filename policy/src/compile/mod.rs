//! The compiler: from a model to an image whose look-ups cost the same however many rules there are.
//!
//! Addresses fall into classes by the terms that hold for them ([`addresses`]), ports into classes and groups ([`ports`]). Each direction
//! and layer is planned by itself ([`plan`]): kinds of subjects are rows, and what a row says to a peer is a pair, a list of
//! rules. Each distinct pair is evaluated once ([`verdicts`]), and what is sparse is laid out by row displacement
//! ([`displace`]). Nothing is computed for a rule and a class that have nothing to do with each other, and nothing depends
//! on the order of a hash: the same documents and members give the same bytes.

mod addresses;
mod assemble;
mod displace;
mod intern;
mod limits;
mod pairs;
mod plan;
mod ports;
mod rules;
mod terms;
mod trie;
mod variant;
mod verdicts;

use std::net::IpAddr;

pub use limits::{CompileError, CompileLimits};

use self::{
    addresses::{Addresses, ROLES},
    pairs::Pairs,
    plan::{Plan, Planner},
    ports::PortAtoms,
    rules::RuleTable,
    terms::Part,
};
use crate::{
    image::{Image, LAYERS},
    model::{Model, Tier},
    verdict::Side,
};

/// Directions with so few rules have one layer: one look-up instead of two, and any product of so few is small.
const ONE_LAYER_RULES_MAX: usize = 128;

/// Compiles a model for a membership. `members`: every address of every committed member.
///
/// # Errors
/// If the image would not fit (G18): the error names the limit, what is needed and what there is.
pub fn compile(model: &Model, members: &[IpAddr], limits: &CompileLimits) -> Result<Image, CompileError> {
    limits.check_rules(RuleTable::count(model))?;
    let rules = RuleTable::new(model);
    let mut ports = PortAtoms::new();
    let (parts, places) = parts(model, &rules, &mut ports);
    let addresses = Addresses::new(model, members, &parts, limits.chunks_max);
    addresses.check(limits)?;
    let mut pairs = Pairs::default();
    let mut planner = Planner { model, limits, rules: &rules, ports: &mut ports, pairs: &mut pairs };
    let plans = parts
        .iter()
        .enumerate()
        .map(|(part, terms)| {
            let role = part * ROLES;
            planner.plan(terms, &addresses.signatures[role], &addresses.signatures[role + 1])
        })
        .collect::<Result<Vec<Plan>, CompileError>>()?;
    let tables = assemble::tables(addresses, &places, &plans, &pairs, &ports, &rules, limits)?;
    limits.check_tables(&tables)?;
    Ok(Image { tables, rules: rules.infos })
}

/// The part of each direction and layer, by `direction * LAYERS + layer`; `None` where there is no policy.
type Places = [Option<usize>; 2 * LAYERS];

fn parts(model: &Model, rules: &RuleTable, ports: &mut PortAtoms) -> (Vec<Part>, Places) {
    let mut parts = Vec::new();
    let mut places = Places::default();
    for (direction, side) in [Side::Ingress, Side::Egress].into_iter().enumerate() {
        for (layer, policies) in layers(model, side).iter().enumerate() {
            if !policies.is_empty() {
                places[direction * LAYERS + layer] = Some(parts.len());
                parts.push(Part::new(side, model, policies, rules, ports));
            }
        }
    }
    (parts, places)
}

/// Policies of each layer that have a section for the direction.
fn layers(model: &Model, side: Side) -> [Vec<usize>; LAYERS] {
    let of_side =
        || model.policies.iter().enumerate().filter_map(|(index, policy)| Some((index, policy, policy.rules(side)?)));
    let rules: usize = of_side().map(|(_, _, rules)| rules.len()).sum();
    let mut layers = [Vec::new(), Vec::new()];
    for (index, policy, _) in of_side() {
        let first = rules > ONE_LAYER_RULES_MAX && policy.tier <= Tier::Platform;
        layers[usize::from(!first)].push(index);
    }
    layers
}

#[cfg(test)]
mod tests;
