//! Which document takes a policy past a limit: an image has no lines and columns, and whoever wrote the documents needs them.
//!
//! The documents are taken one after another, those that came from no text first, until the image no longer fits; of the document at
//! which it does not, its networks or rules likewise. By halves, so that it takes few compilations.

use std::{collections::BTreeMap, net::IpAddr};

use super::{CompileError, CompileLimits, compile};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    document::{Body, Document, Kind, Place, SegmentSpec},
    image::Image,
    model::{Model, Policy, Rule, Segment},
    validate,
};

/// The model and the image that these documents describe. Once the image does not fit, `go_on` is asked before each further
/// compilation: a finding that may not look further points less exactly.
///
/// # Errors
/// What is wrong with the documents; or, if their image would not fit (G18), one finding that names the limit and points at the
/// first network or rule past it. A document that came from no text is named.
pub fn fit(
    documents: &[Document],
    members: &[IpAddr],
    limits: &CompileLimits,
    go_on: impl FnMut() -> bool,
) -> Result<(Model, Image), Diagnostics> {
    let model = validate(documents)?;
    match compile(&model, members, limits) {
        Ok(image) => Ok((model, image)),
        Err(error) => {
            let mut search = Search { model: &model, members, limits, error: &error, go_on };
            Err(Diagnostics(vec![search.finding(documents)]))
        }
    }
}

/// What to look with, and for.
struct Search<'a, F> {
    model: &'a Model,
    members: &'a [IpAddr],
    limits: &'a CompileLimits,
    error: &'a CompileError,
    go_on: F,
}

/// How much of something is past the limit.
struct First {
    /// So many of its elements, from the first.
    count: usize,
    /// Whether one less is not.
    is_exact: bool,
}

impl<F: FnMut() -> bool> Search<'_, F> {
    fn finding(&mut self, documents: &[Document]) -> Diagnostic {
        let order = self.order(documents);
        let First { count, is_exact } = self.first(order.len(), |count| (&order[..count], None));
        let Some((document, before)) = order[..count].split_last() else {
            return Diagnostic::without_place("the policy", self.error.to_string()).help(self.error.advice);
        };
        let (place, which) = if is_exact {
            self.entry(before, document)
        } else {
            (document.place(), format!("it is passed by {} \"{}\" or before", document.kind(), document.name))
        };
        document.finding(place, format!("{}; {which}", self.error)).help(self.error.advice)
    }

    /// The documents that an image is made from, in the order in which they are taken: what came from no text was there
    /// before; and what makes the tables grow that are full comes after what it belongs to.
    fn order<'d>(&self, documents: &'d [Document]) -> Vec<&'d Document> {
        let growing = if self.error.is_of_addresses() { Kind::Segment } else { Kind::Policy };
        let compiled = |document: &&Document| matches!(document.kind(), Kind::Segment | Kind::Policy);
        let mut order: Vec<&Document> = documents.iter().filter(compiled).collect();
        order.sort_by_key(|document| (document.position.is_some(), document.kind() == growing, document.written()));
        order
    }

    /// Where in a document the limit is passed, and with what.
    fn entry(&mut self, before: &[&Document], document: &Document) -> (Place, String) {
        let entries: Vec<(Place, String)> = match &document.body {
            Body::Segment(spec) => spec.addresses.iter().map(|one| (one.place, one.value.to_string())).collect(),
            Body::Policy(spec) => {
                let rules = spec.ingress.iter().chain(&spec.egress).flatten();
                rules.map(|rule| (rule.name.place, format!("rule \"{}\"", rule.name.value))).collect()
            }
            Body::SyncChannel(_) | Body::Settings(_) => Vec::new(),
        };
        let First { count, is_exact } = self.first(entries.len(), |count| (before, Some((document, count))));
        match count.checked_sub(1).and_then(|last| entries.into_iter().nth(last)) {
            Some((place, entry)) if is_exact => (place, format!("{entry} is the first past it")),
            Some((place, entry)) => (place, format!("it is passed by {entry} or before")),
            None => (document.place(), format!("{} \"{}\" is the first past it", document.kind(), document.name)),
        }
    }

    /// How many of `all` are past the limit, all of them being past it.
    fn first<'d>(&mut self, all: usize, taken: impl Fn(usize) -> Taken<'d>) -> First {
        let (mut fits, mut past) = (0, all);
        while fits < past {
            if !(self.go_on)() {
                return First { count: past, is_exact: false };
            }
            let middle = fits.midpoint(past);
            if self.is_past(&taken(middle)) { past = middle } else { fits = middle + 1 }
        }
        First { count: past, is_exact: true }
    }

    fn is_past(&self, taken: &Taken<'_>) -> bool {
        let result = compile(&partial(self.model, taken), self.members, self.limits);
        result.is_err_and(|error| error.limit == self.error.limit)
    }
}

/// Some documents, and of one more its first entries: networks or rules.
type Taken<'d> = (&'d [&'d Document], Option<(&'d Document, usize)>);

/// What of a model is of the documents that are taken. Segments that are not taken have no addresses: policies may name them.
fn partial(model: &Model, (whole, part): &Taken<'_>) -> Model {
    let whole = whole.iter().map(|document| (*document, usize::MAX));
    let taken: BTreeMap<(Kind, &str), (&Document, usize)> =
        whole.chain(*part).map(|one| ((one.0.kind(), one.0.name.as_str()), one)).collect();
    let segments = model.segments.iter().map(|segment| {
        let addresses =
            match taken.get(&(Kind::Segment, &segment.name)).map(|(document, count)| (&document.body, *count)) {
                Some((Body::Segment(SegmentSpec { addresses, .. }), count)) => {
                    validate::sorted(&addresses[..addresses.len().min(count)])
                }
                _ => Vec::new(),
            };
        let Segment { name, role, labels, services, .. } = segment;
        Segment { name: name.clone(), role: *role, labels: labels.clone(), addresses, services: services.clone() }
    });
    let policies = model.policies.iter().filter_map(|policy| {
        let (_, count) = taken.get(&(Kind::Policy, &policy.name))?;
        Some(first_rules(policy, *count))
    });
    Model { segments: segments.collect(), policies: policies.collect(), settings: model.settings, channels: Vec::new() }
}

/// A policy with its first rules.
fn first_rules(policy: &Policy, count: usize) -> Policy {
    let mut left = count;
    let mut first = |rules: &Option<Vec<Rule>>| {
        rules.as_ref().map(|rules| {
            let taken = rules.len().min(left);
            left -= taken;
            rules[..taken].to_vec()
        })
    };
    let (ingress, egress) = (first(&policy.ingress), first(&policy.egress));
    Policy { ingress, egress, ..policy.clone() }
}
