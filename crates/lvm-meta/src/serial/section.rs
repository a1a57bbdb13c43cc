//! The tree of a text: sections are maps, values are numbers, strings and lists of both.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::{self, Body, DEPTH_LIMIT, Node, Section, Value};

/// Nodes as a map.  Of two equal keys the first one counts, as it does for LVM.
pub(crate) struct Nodes<'a>(pub(crate) &'a [Node]);

impl Serialize for Nodes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seen = HashSet::with_capacity(self.0.len());
        let first: Vec<_> = self.0.iter().filter(|node| seen.insert(node.key())).collect();
        let mut map = serializer.serialize_map(Some(first.len()))?;
        for node in first {
            match node.body() {
                Body::Value(value) => map.serialize_entry(node.key(), value)?,
                Body::Section(section) => map.serialize_entry(node.key(), section)?,
            }
        }
        map.end()
    }
}

impl Serialize for Section {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Nodes(self.nodes()).serialize(serializer)
    }
}

/// A number with a dot stays a number where a double can hold it, else it becomes the string that the text has.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Float(text) => match self.as_float().filter(|number| number.is_finite()) {
                Some(number) => serializer.serialize_f64(number),
                None => serializer.serialize_str(text),
            },
            Self::Str(text) => serializer.serialize_str(text),
            Self::List(items) => items.serialize(serializer),
        }
    }
}

/// Takes in a map that the grammar of the text can hold: what it prints is read back as the same.
impl<'de> Deserialize<'de> for Section {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seed = Inside {
            depth: 0,
            is_element: false,
        };
        let Body::Section(section) = seed.deserialize(deserializer)? else {
            return Err(D::Error::custom("a section is a map"));
        };
        match text::parse(section.to_string().as_bytes()) {
            Ok(read) if read == section => Ok(section),
            Ok(_) => Err(D::Error::custom("a key or string that the text cannot hold")),
            Err(error) => Err(D::Error::custom(error)),
        }
    }
}

/// What stands behind a key, inside so many sections, or in a list.
#[derive(Clone, Copy)]
struct Inside {
    depth: usize,
    is_element: bool,
}

impl<'de> DeserializeSeed<'de> for Inside {
    type Value = Body;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is_element {
            true => "a number or a string",
            false => "a number, a string, a list of both, or a map",
        })
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Body, E> {
        Ok(Body::Value(Value::Int(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Body, E> {
        let number = i64::try_from(number).map_err(|_| E::custom("a number past 64 bits with a sign"))?;
        self.visit_i64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Body, E> {
        if !number.is_finite() {
            return Err(E::custom("not a finite number"));
        }
        let mut text = number.to_string();
        if !text.contains('.') {
            text.push_str(".0");
        }
        Ok(Body::Value(Value::Float(text.into())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Body, E> {
        Ok(Body::Value(Value::Str(text.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Body, A::Error> {
        if self.is_element {
            return Err(A::Error::custom("a list in a list"));
        }
        let element = Self {
            is_element: true,
            ..self
        };
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(element)? {
            if let Body::Value(value) = item {
                items.push(value);
            }
        }
        Ok(Body::Value(Value::List(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        if self.is_element || self.depth > DEPTH_LIMIT {
            return Err(A::Error::custom("a section in a list, or in too many sections"));
        }
        let inner = Self {
            depth: self.depth.saturating_add(1),
            ..self
        };
        let mut nodes = Vec::new();
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            nodes.push(Node::new(&key, map.next_value_seed(inner)?));
            if !keys.insert(key) {
                return Err(A::Error::custom("a key that is there twice"));
            }
        }
        Ok(Body::Section(Section::new(nodes)))
    }
}
