//! `spec` of the settings.

use std::num::NonZeroU32;

use super::Decoder;
use crate::document::node::Node;
use crate::model::limits::LOG_SAMPLING_MAX;
use crate::model::{DefaultAction, Settings};

const FIELDS: [&str; 2] = ["defaultAction", "logSampling"];
const FIELDS_LATER: [&str; 2] = ["activation", "flowTimeouts"];

pub(super) fn decode(decoder: &mut Decoder<'_>, spec: &Node) -> Option<Settings> {
    let fields = decoder.fields(spec, "`spec` of the Settings", &FIELDS, &FIELDS_LATER)?;
    let default_action = match fields.get("defaultAction") {
        Some(node) => decoder.choice(node, "`defaultAction`", &DefaultAction::NAMES)?,
        None => DefaultAction::default(),
    };
    let log_sampling = match fields.get("logSampling") {
        Some(node) => log_sampling(decoder, node)?,
        None => NonZeroU32::MIN,
    };
    Some(Settings { default_action, log_sampling })
}

/// One of so many.
fn log_sampling(decoder: &mut Decoder<'_>, node: &Node) -> Option<NonZeroU32> {
    let one_of = NonZeroU32::new(decoder.number(node, "`logSampling`", LOG_SAMPLING_MAX)?);
    if one_of.is_none() {
        let help = "1 keeps every event; to log nothing, take `log` off the rules";
        decoder.report(node.place, "`logSampling` cannot be 0".to_owned(), help);
    }
    one_of
}
