//! `spec` of the settings.

use super::Decoder;
use crate::document::node::Node;
use crate::model::{DefaultAction, Settings};

const FIELDS_LATER: [&str; 3] = ["activation", "flowTimeouts", "logSampling"];

pub(super) fn decode(decoder: &mut Decoder<'_>, spec: &Node) -> Option<Settings> {
    let fields = decoder.fields(spec, "`spec` of the Settings", &["defaultAction"], &FIELDS_LATER)?;
    let default_action = match fields.get("defaultAction") {
        Some(node) => decoder.choice(node, "`defaultAction`", &DefaultAction::NAMES)?,
        None => DefaultAction::default(),
    };
    Some(Settings { default_action })
}
