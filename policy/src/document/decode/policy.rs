//! `spec` of a policy.

use super::Decoder;
use super::rule;
use crate::document::node::Node;
use crate::document::policy::ORDER_DEFAULT;
use crate::document::{Located, PolicySpec, Target};
use crate::model::limits::{ORDER_MAX, OWNER_CHARS_MAX};
use crate::model::{ANY, Date, ExistingFlows, Mode, Selector, Tier};
use crate::verdict::Side;

const FIELDS: [&str; 10] =
    ["tier", "order", "appliesTo", "mode", "existingFlows", "ingress", "egress", "owner", "reviewBy", "expires"];
const FIELDS_LATER: [&str; 2] = ["schedule", "limits"];

pub(super) fn decode(decoder: &mut Decoder<'_>, spec: &Node) -> Option<PolicySpec> {
    let fields = decoder.fields(spec, "`spec` of a Policy", &FIELDS, &FIELDS_LATER)?;
    let tier = decoder.required(&fields, "tier").and_then(|node| decoder.choice(node, "`tier`", &Tier::NAMES));
    let order = match fields.get("order") {
        Some(node) => decoder.number(node, "`order`", ORDER_MAX),
        None => Some(ORDER_DEFAULT),
    };
    let applies_to = decoder.required(&fields, "appliesTo").and_then(|node| applies_to(decoder, node));
    let mode = match fields.get("mode") {
        Some(node) => decoder.choice(node, "`mode`", &Mode::NAMES),
        None => Some(Mode::default()),
    };
    let existing_flows = match fields.get("existingFlows") {
        Some(node) => decoder.choice(node, "`existingFlows`", &ExistingFlows::NAMES),
        None => Some(ExistingFlows::default()),
    };
    let ingress = fields.get("ingress").map(|node| rule::decode(decoder, node, Side::Ingress));
    let egress = fields.get("egress").map(|node| rule::decode(decoder, node, Side::Egress));
    if fields.get("ingress").is_none() && fields.get("egress").is_none() {
        let help = "add `ingress` or `egress`; an empty list `[]` means that no rule matches";
        decoder.report(fields.place(), "the policy has neither `ingress` nor `egress`, so it says nothing", help);
    }
    let owner = fields.get("owner").map(|node| owner(decoder, node));
    let review_by = fields.get("reviewBy").map(|node| date(decoder, node, "`reviewBy`"));
    let expires = fields.get("expires").map(|node| date(decoder, node, "`expires`"));
    Some(PolicySpec {
        tier: tier?,
        order: order?,
        applies_to: applies_to?,
        mode: mode?,
        existing_flows: existing_flows?,
        ingress: given(ingress)?,
        egress: given(egress)?,
        owner: given(owner)?,
        review_by: given(review_by)?,
        expires: given(expires)?,
    })
}

/// Of a field that may be missing: `None` only if it is there and wrong.
#[expect(clippy::option_option, reason = "missing and wrong are two things")]
pub(super) fn given<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        Some(None) => None,
        Some(value) => Some(value),
        None => Some(None),
    }
}

fn owner(decoder: &mut Decoder<'_>, node: &Node) -> Option<String> {
    let text = decoder.text(node, "`owner`")?;
    if text.is_empty() || text.chars().count() > OWNER_CHARS_MAX || text.chars().any(char::is_control) {
        let help = format!("1 to {OWNER_CHARS_MAX} characters on one line");
        decoder.report(node.place, "`owner` is empty, too long or has control characters", help);
        return None;
    }
    Some(text.to_owned())
}

fn date(decoder: &mut Decoder<'_>, node: &Node, what: &str) -> Option<Date> {
    let text = decoder.text(node, what)?;
    match text.parse() {
        Ok(date) => Some(date),
        Err(_) => {
            let message = format!("{what} cannot be \"{}\"", crate::diagnostic::shorten(text));
            decoder.report(node.place, message, "write a day as YYYY-MM-DD, for example 2027-06-01");
            None
        }
    }
}

fn applies_to(decoder: &mut Decoder<'_>, node: &Node) -> Option<Located<Target>> {
    let what = "`appliesTo`";
    let fields = decoder.fields(node, what, &["segment", "selector", "any", "cidr"], &["addressSet", "set"])?;
    if fields.get("cidr").is_some() {
        let help = "write a Segment document with it, so that it has a name";
        decoder.report(fields.place_of("cidr"), "a policy cannot apply to a bare CIDR", help);
        return None;
    }
    target(decoder, &fields, what)
}

/// Exactly one of `segment`, `selector`, `cidr` and `any`.
pub(super) fn target(decoder: &mut Decoder<'_>, fields: &super::Fields<'_>, what: &str) -> Option<Located<Target>> {
    let mut given =
        ["segment", "selector", "cidr", "any"].into_iter().filter_map(|name| Some((name, fields.get(name)?)));
    let Some((name, node)) = given.next() else {
        decoder.report(fields.place(), format!("{what} says nobody"), "give one of segment, selector, cidr, any");
        return None;
    };
    if let Some((second, _)) = given.next() {
        let message = format!("{what} has both `{name}` and `{second}`");
        decoder.report(fields.place_of(second), message, "give one of them; a list may have several entries");
        return None;
    }
    let place = node.place;
    let value = match name {
        "segment" => Target::Segment(decoder.name(node, "the name of a segment")?.value),
        "selector" => Target::Selector(selector(decoder, node)?),
        "cidr" => Target::Cidr(decoder.network(node)?.value),
        _ => {
            if !decoder.flag(node, "`any`")? {
                decoder.report(place, "`any: false` says nobody", "write `any: true` or name a segment");
                return None;
            }
            Target::Segment(ANY.to_owned())
        }
    };
    Some(Located { value, place })
}

fn selector(decoder: &mut Decoder<'_>, node: &Node) -> Option<Selector> {
    let labels = decoder.labels(node, "`selector`")?;
    if labels.is_empty() {
        decoder.report(node.place, "`selector` is empty", "name a label, or write `any: true`");
        return None;
    }
    Some(Selector { labels })
}
