//! Mappings: fields by name, unknown ones refused.

use std::collections::BTreeMap;

use super::Decoder;
use crate::diagnostic::{nearest, shorten};
use crate::document::Place;
use crate::document::node::{Node, Value};

/// The fields of a mapping, all of them known.
pub(in crate::document) struct Fields<'n> {
    by_name: BTreeMap<&'n str, (Place, &'n Node)>,
    place: Place,
    what: &'static str,
}

impl<'n> Fields<'n> {
    /// The value of a field, if it is given.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.by_name.get(name).map(|(_, node)| *node)
    }

    /// Where the name of a field was written, or the mapping.
    pub(super) fn place_of(&self, name: &str) -> Place {
        self.by_name.get(name).map_or(self.place, |(place, _)| *place)
    }

    /// Where the mapping begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }
}

impl Decoder<'_> {
    /// The fields of a mapping. Unknown ones are reported, with the nearest known name; so are those that the language
    /// has and this version cannot do yet. `None` only if it is no mapping.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &'static str,
        known: &[&str],
        later: &[&str],
    ) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            let message = format!("{what} is a mapping, and this is {}", node.value.describe());
            self.report(node.place, message, format!("its fields are {}", known.join(", ")));
            return None;
        };
        let mut by_name = BTreeMap::new();
        for (key, value) in entries {
            let name = key.value.as_str();
            if known.contains(&name) {
                by_name.insert(name, (key.place, value));
            } else if later.contains(&name) {
                let message = format!("`{name}` in {what} is not yet supported by this version");
                self.report(key.place, message, "take it out; it is refused because it would not be enforced");
            } else {
                let help = match (nearest(name, known.iter().copied()), direction_hint(name, known)) {
                    (_, Some(hint)) => hint.to_owned(),
                    (Some(near), None) => format!("did you mean `{near}`?"),
                    (None, None) => format!("its fields are {}", known.join(", ")),
                };
                self.report(key.place, format!("{what} has no field `{}`", shorten(name)), help);
            }
        }
        Some(Fields { by_name, place: node.place, what })
    }

    /// The value of a field that must be given.
    pub(super) fn required<'n>(&mut self, fields: &Fields<'n>, name: &str) -> Option<&'n Node> {
        let value = fields.get(name);
        if value.is_none() {
            self.report(fields.place, format!("{} has no `{name}`", fields.what), format!("add `{name}`"));
        }
        value
    }
}

/// Who mixes up `from` and `to` means the other one, however far apart the words are.
fn direction_hint(name: &str, known: &[&str]) -> Option<&'static str> {
    match name {
        "from" if known.contains(&"to") => Some("the far end of an egress rule is `to`"),
        "to" if known.contains(&"from") => Some("the far end of an ingress rule is `from`"),
        _ => None,
    }
}
