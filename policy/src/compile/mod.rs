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
mod fit;
mod groups;
mod intern;
mod kinds;
mod limits;
mod lists;
mod pairs;
mod plan;
mod ports;
mod rates;
mod rules;
mod terms;
mod trie;
mod variant;
mod verdicts;

use std::net::IpAddr;

pub use self::{
    fit::fit,
    limits::{CompileError, CompileLimits},
};

use self::{
    addresses::{Addresses, ROLES},
    pairs::Pairs,
    plan::{Plan, Planner},
    ports::PortClasses,
    rules::RuleTable,
    terms::{Names, Part},
};
use crate::{
    image::{Image, LAYERS, TableId},
    model::{Model, Tier},
    verdict::Side,
};

/// Where the compiler chooses between forms that mean the same. Tests force each choice.
#[derive(Debug, Clone, Copy)]
struct Tuning {
    /// Directions with so few rules have one layer: one look-up instead of two, and any product of so few is small.
    one_layer_rules_max: usize,
    /// A base table up to this size is made dense: fastest to look up, and small.
    dense_entries_max: usize,
    /// Terms of peers up to this cost are narrow, in multiples of the rows; without it the cheapest is chosen.
    peer_border: Option<usize>,
    /// Port atoms up to so many classes are narrow; without it the cheapest is chosen.
    port_border: Option<usize>,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning { one_layer_rules_max: 128, dense_entries_max: 4_096, peer_border: None, port_border: None }
    }
}

/// Compiles a model for a membership. `members`: every address of every committed member.
///
/// # Errors
/// If the image would not fit (G18): the error names the limit, what is needed and what there is.
pub fn compile(model: &Model, members: &[IpAddr], limits: &CompileLimits) -> Result<Image, CompileError> {
    compile_tuned(model, members, limits, &Tuning::default())
}

fn compile_tuned(
    model: &Model,
    members: &[IpAddr],
    limits: &CompileLimits,
    tuning: &Tuning,
) -> Result<Image, CompileError> {
    limits.check_rules(RuleTable::count(model))?;
    let rules = RuleTable::new(model);
    limits.check(TableId::Limits, rules.limits_count())?;
    let mut names = Names::new();
    let (parts, places) = parts(model, &rules, &mut names, tuning);
    let addresses = Addresses::new(model, members, &parts, &names.atoms, limits.chunks_max);
    addresses.check(limits)?;
    let mut pairs = Pairs::default();
    let mut planner = Planner { model, limits, tuning, rules: &rules, ports: &mut names.ports, pairs: &mut pairs };
    let plans = parts
        .iter()
        .enumerate()
        .map(|(part, terms)| {
            let role = part * ROLES;
            planner.plan(terms, &addresses.signatures[role], &addresses.signatures[role + 1])
        })
        .collect::<Result<Vec<Plan>, CompileError>>()?;
    let ports = PortClasses::new(&names.ports, rules.unmatched_count() + 1, tuning.port_border)?;
    let tables = assemble::tables(addresses, &places, &plans, &pairs, ports, &rules, limits)?;
    limits.check_tables(&tables)?;
    Ok(Image { tables, rules: rules.infos })
}

/// The part of each direction and layer, by `direction * LAYERS + layer`; `None` where there is no policy.
type Places = [Option<usize>; 2 * LAYERS];

fn parts(model: &Model, rules: &RuleTable, names: &mut Names, tuning: &Tuning) -> (Vec<Part>, Places) {
    let mut parts = Vec::new();
    let mut places = Places::default();
    for (direction, side) in [Side::Ingress, Side::Egress].into_iter().enumerate() {
        for (layer, policies) in layers(model, side, tuning.one_layer_rules_max).iter().enumerate() {
            if !policies.is_empty() {
                places[direction * LAYERS + layer] = Some(parts.len());
                parts.push(Part::new(side, layer == LAYERS - 1, model, policies, rules, names));
            }
        }
    }
    (parts, places)
}

/// Policies of each layer that have a section for the direction. Those of one layer are in the last, so that there is one look-up.
fn layers(model: &Model, side: Side, one_layer_rules_max: usize) -> [Vec<usize>; LAYERS] {
    let of_side =
        || model.policies.iter().enumerate().filter_map(|(index, policy)| Some((index, policy, policy.rules(side)?)));
    let rules: usize = of_side().map(|(_, _, rules)| rules.len()).sum();
    let mut layers = [Vec::new(), Vec::new()];
    for (index, policy, _) in of_side() {
        let first = rules > one_layer_rules_max && policy.tier <= Tier::Platform;
        layers[usize::from(!first)].push(index);
    }
    if layers[1].is_empty() {
        layers.swap(0, 1);
    }
    layers
}

#[cfg(test)]
mod tests;
