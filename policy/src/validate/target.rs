//! What a segment name, a selector or a CIDR stands for.

use crate::diagnostic::{Diagnostic, nearest};
use crate::document::{Document, Located, Target};
use crate::model::{ANY, MEMBERS, Scope, Segment, Selector};

/// The addresses that a target stands for; a finding if nothing has that name or those labels.
pub(super) fn resolve(
    document: &Document,
    target: &Located<Target>,
    segments: &[Segment],
) -> Result<Scope, Box<Diagnostic>> {
    match &target.value {
        Target::Cidr(network) => Ok(Scope::Cidr(*network)),
        Target::Segment(name) if name == ANY => Ok(Scope::Any),
        Target::Segment(name) if name == MEMBERS => Ok(Scope::Members),
        Target::Segment(name) => match segments.binary_search_by(|segment| segment.name.as_str().cmp(name)) {
            Ok(index) => Ok(Scope::Segments(vec![index])),
            Err(_) => Err(Box::new(unknown_segment(document, target, name, segments))),
        },
        Target::Selector(selector) => {
            let chosen: Vec<usize> =
                (0..segments.len()).filter(|&index| selector.matches(&segments[index].labels)).collect();
            if chosen.is_empty() {
                return Err(Box::new(nothing_selected(document, target, selector, segments)));
            }
            Ok(Scope::Segments(chosen))
        }
    }
}

fn unknown_segment(document: &Document, target: &Located<Target>, name: &str, segments: &[Segment]) -> Diagnostic {
    let known = segments.iter().map(|segment| segment.name.as_str()).chain([MEMBERS, ANY]);
    let help = match nearest(name, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "`hedgerow segment list` shows the segments there are; add a Segment document of this name".to_owned(),
    };
    document.finding(target.place, format!("there is no segment \"{name}\"")).help(help)
}

fn nothing_selected(
    document: &Document,
    target: &Located<Target>,
    selector: &Selector,
    segments: &[Segment],
) -> Diagnostic {
    let message = format!("no segment has the labels {selector}");
    let help = selector.labels.iter().find_map(|(label, value)| label_help(label, value, segments));
    let otherwise = "give a segment these labels; a selector that selects nothing would do nothing, unseen";
    document.finding(target.place, message).help(help.unwrap_or_else(|| otherwise.to_owned()))
}

/// What to do about a label that no segment has, or not with this value.
fn label_help(label: &str, value: &str, segments: &[Segment]) -> Option<String> {
    let labels = || segments.iter().flat_map(|segment| &segment.labels);
    let values = || labels().filter(|(known, _)| *known == label).map(|(_, value)| value.as_str());
    if values().any(|known| known == value) {
        return None;
    }
    if values().next().is_some() {
        return nearest(value, values()).map(|near| format!("did you mean {label}={near}?"));
    }
    nearest(label, labels().map(|(known, _)| known.as_str())).map(|near| format!("did you mean the label \"{near}\"?"))
}
