//! A document as a tree of values with places, whatever its kind: what the parsers give and what the writers take.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_saphyr::Spanned;

use super::{Located, Place};
use crate::diagnostic::shorten;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// What YAML and JSON can say.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Flag(bool),
    Number(i64),
    /// A number that is no integer of 64 bits; no field wants one.
    OtherNumber,
    Text(String),
    List(Vec<Node>),
    /// In the order in which it was written; keys are unique.
    Map(Vec<(Located<String>, Node)>),
}

impl Value {
    /// What to call it in findings.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Flag(_) => "true or false",
            Value::Number(_) | Value::OtherNumber => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl Node {
    /// A tree that was not written anywhere.
    pub(crate) fn nowhere(value: Value) -> Node {
        Node { value, place: Place::UNKNOWN }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null | Value::OtherNumber => serializer.serialize_unit(),
            Value::Flag(flag) => serializer.serialize_bool(*flag),
            Value::Number(number) => serializer.serialize_i64(*number),
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(nodes) => {
                let mut list = serializer.serialize_seq(Some(nodes.len()))?;
                nodes.iter().try_for_each(|node| list.serialize_element(node))?;
                list.end()
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, node)| map.serialize_entry(&key.value, node))?;
                map.end()
            }
        }
    }
}

/// A way to read a tree: with places (YAML) or without (from the log).
trait Reading: DeserializeOwned {
    type Key: DeserializeOwned;

    fn key(key: Self::Key) -> Located<String>;
    fn node(self) -> Node;
}

/// A tree with places; only serde-saphyr gives them.
pub(super) struct Placed(pub(super) Node);

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Placed, D::Error> {
        let Spanned { value: Read(value, _), referenced, .. } = Spanned::<Read<Placed>>::deserialize(deserializer)?;
        Ok(Placed(Node { value, place: place(referenced) }))
    }
}

impl Reading for Placed {
    type Key = Spanned<String>;

    fn key(key: Spanned<String>) -> Located<String> {
        Located { value: key.value, place: place(key.referenced) }
    }

    fn node(self) -> Node {
        self.0
    }
}

/// A place as serde-saphyr reports it.
pub(super) fn place(location: serde_saphyr::Location) -> Place {
    let bounded = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let Ok(length) = u32::try_from(location.span().len()) else { return Place::UNKNOWN };
    Place { line: bounded(location.line()), column: bounded(location.column()), length }
}

/// A tree without places, from any self-describing format.
pub(super) struct Plain(pub(super) Node);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Plain, D::Error> {
        let Read(value, _) = Read::<Plain>::deserialize(deserializer)?;
        Ok(Plain(Node::nowhere(value)))
    }
}

impl Reading for Plain {
    type Key = String;

    fn key(key: String) -> Located<String> {
        Located::nowhere(key)
    }

    fn node(self) -> Node {
        self.0
    }
}

/// A value whose parts are read in the given way.
struct Read<R>(Value, PhantomData<R>);

impl<'de, R: Reading> Deserialize<'de> for Read<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Read<R>, D::Error> {
        let value = deserializer.deserialize_any(ValueVisitor::<R>(PhantomData))?;
        Ok(Read(value, PhantomData))
    }
}

struct ValueVisitor<R>(PhantomData<R>);

impl<'de, R: Reading> Visitor<'de> for ValueVisitor<R> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping, a list, a text, a number, true, false or nothing")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::OtherNumber, Value::Number))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::OtherNumber, Value::Number))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::OtherNumber, Value::Number))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Value, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element::<R>()? {
            nodes.push(node.node());
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(Located<String>, Node)> = Vec::new();
        while let Some(key) = access.next_key::<R::Key>()? {
            entries.push((R::key(key), access.next_value::<R>()?.node()));
        }
        if let Some(key) = twice(&entries) {
            return Err(A::Error::custom(format_args!("the field \"{}\" is given twice", shorten(key))));
        }
        Ok(Value::Map(entries))
    }
}

/// A key that a mapping has twice. (serde-saphyr finds it earlier, with its place.)
fn twice(entries: &[(Located<String>, Node)]) -> Option<&str> {
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.value.as_str()).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
