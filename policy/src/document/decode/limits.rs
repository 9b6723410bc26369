//! `limits` of a rule.

use super::{Decoder, Fields};
use crate::document::node::{Node, Value};
use crate::model::limits::{RATE_BURST_MAX, RATE_PER_SECOND_MAX};
use crate::model::{Action, Rate, RuleLimits};

const NEW_CONNECTIONS: &str = "newConnections";
const PACKETS: &str = "packets";
const PER_SOURCE: &str = "perSource";

/// The limits of a rule whose action is this one, if it could be read.
#[expect(clippy::option_option, reason = "missing and wrong are two things")]
pub(super) fn decode(
    decoder: &mut Decoder<'_>,
    rule: &Fields<'_>,
    action: Option<Action>,
) -> Option<Option<RuleLimits>> {
    let node = rule.get("limits")?;
    if let Some(other @ (Action::Deny | Action::Pass)) = action {
        let message = format!("a limit belongs to a rule that allows, and the action of this one is {other}");
        decoder.report(rule.place_of("limits"), message, "take `limits` out, or put it into the rule that allows");
        return Some(None);
    }
    Some(limits(decoder, node))
}

fn limits(decoder: &mut Decoder<'_>, node: &Node) -> Option<RuleLimits> {
    let fields = some_fields(decoder, node, "`limits`", &[NEW_CONNECTIONS, PACKETS, PER_SOURCE])?;
    let [new_connections, packets] = rates(decoder, &fields);
    let [source_new_connections, source_packets] = match fields.get(PER_SOURCE) {
        Some(node) => {
            let fields = some_fields(decoder, node, "`perSource`", &[NEW_CONNECTIONS, PACKETS])?;
            rates(decoder, &fields)
        }
        None => [None, None],
    };
    Some(RuleLimits { packets, new_connections, source_packets, source_new_connections })
}

/// The fields of a mapping that must say something: an empty one reads like "nothing" and like "everything".
fn some_fields<'n>(
    decoder: &mut Decoder<'_>,
    node: &'n Node,
    what: &'static str,
    known: &[&str],
) -> Option<Fields<'n>> {
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        let help = "give `newConnections` or `packets`, or leave it out to limit nothing";
        decoder.report(node.place, format!("{what} is empty"), help);
        return None;
    }
    decoder.fields(node, what, known, &[])
}

/// New connections and packets. What is wrong has been reported, and then the document is refused as a whole.
fn rates(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> [Option<Rate>; 2] {
    [(NEW_CONNECTIONS, "`newConnections`"), (PACKETS, "`packets`")]
        .map(|(name, what)| fields.get(name).and_then(|node| rate(decoder, node, what)))
}

/// A number for each second, or that and a burst.
fn rate(decoder: &mut Decoder<'_>, node: &Node, what: &'static str) -> Option<Rate> {
    match &node.value {
        Value::Number(_) => decoder.number_between(node, what, 1, RATE_PER_SECOND_MAX).map(Rate::steady),
        Value::Map(_) => {
            let fields = decoder.fields(node, what, &["perSecond", "burst"], &[])?;
            let per_second = decoder.required(&fields, "perSecond")?;
            let per_second = decoder.number_between(per_second, "`perSecond`", 1, RATE_PER_SECOND_MAX)?;
            match fields.get("burst") {
                Some(node) => {
                    let burst = decoder.number_between(node, "`burst`", 1, RATE_BURST_MAX)?;
                    Some(Rate { per_second, burst })
                }
                None => Some(Rate::steady(per_second)),
            }
        }
        _ => decoder.unexpected(node, what, "a whole number (a second) or {perSecond: 100, burst: 200}"),
    }
}
