//! Documents as they are written: names not yet resolved, every value with its place in the text.
//!
//! Parsing refuses what can be judged by looking at one document alone: syntax, unknown fields, addresses with host
//! bits, ranges upside down, limits. What needs the other documents is judged by [`validate`](crate::validate).

mod canonical;
mod decode;
mod encode;
mod node;
mod place;
mod policy;
mod segment;
mod source;

use std::collections::BTreeMap;
use std::fmt;

pub(crate) use encode::limits_json;
pub use place::{Located, Place, Position};
pub use policy::{IcmpType, PeerSpec, PolicySpec, RuleSpec, ServiceRef, Target};
pub use segment::{SegmentSpec, ServiceSpec};
pub use source::parse;

use crate::channel::ChannelSpec;
use crate::diagnostic::Diagnostic;
use crate::model::Settings;

/// The only language version there is.
pub const API_VERSION: &str = "hedgerow/v1";

/// A file, or what came on standard input or in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// What to call it in findings.
    pub name: String,
    /// YAML (several documents) or JSON.
    pub text: String,
}

/// What a document describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Addresses with a name.
    Segment,
    /// Rules.
    Policy,
    /// A sync channel beyond the built-in ones.
    SyncChannel,
    /// What holds for the whole cluster.
    Settings,
}

impl Kind {
    /// Every kind as it is written.
    pub const NAMES: [(&'static str, Kind); 4] = [
        ("Segment", Kind::Segment),
        ("Policy", Kind::Policy),
        ("SyncChannel", Kind::SyncChannel),
        ("Settings", Kind::Settings),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Kind::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a document says, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A segment.
    Segment(SegmentSpec),
    /// A policy.
    Policy(Box<PolicySpec>),
    /// A sync channel.
    SyncChannel(ChannelSpec),
    /// Settings.
    Settings(Settings),
}

/// One document. Equality ignores where it was written.
#[derive(Clone, Debug)]
pub struct Document {
    /// Unique among documents of its kind.
    pub name: String,
    /// Free labels; those of a segment are what selectors look at.
    pub labels: BTreeMap<String, String>,
    /// What it says.
    pub body: Body,
    /// Where its name was written, if in a text.
    pub position: Option<Position>,
}

impl Document {
    /// What it describes.
    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Segment(_) => Kind::Segment,
            Body::Policy(_) => Kind::Policy,
            Body::SyncChannel(_) => Kind::SyncChannel,
            Body::Settings(_) => Kind::Settings,
        }
    }

    /// A finding about a place in this document.
    pub fn finding(&self, place: Place, message: impl Into<String>) -> Diagnostic {
        match &self.position {
            Some(position) => Diagnostic::new(&position.file, place, message),
            None => Diagnostic::without_place(&format!("{} {}", self.kind(), self.name), message),
        }
    }

    /// Where its name was written.
    pub fn place(&self) -> Place {
        self.position.as_ref().map_or(Place::UNKNOWN, |position| position.place)
    }

    /// By what documents are put into the order in which they were written. Those that came from no text are first: they
    /// were there before.
    pub fn written(&self) -> Option<(&str, u32, u32)> {
        self.position.as_ref().map(|position| (&*position.file, position.place.line, position.place.column))
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Document) -> bool {
        (&self.name, &self.labels, &self.body) == (&other.name, &other.labels, &other.body)
    }
}

impl Eq for Document {}
