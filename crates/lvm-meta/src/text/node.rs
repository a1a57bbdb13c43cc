//! The tree that a text becomes: sections, keys and values in their order.

/// One value: a scalar or a list of scalars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A number with a dot, as written.
    Float(Box<str>),
    /// A string, without quotes and escapes.
    Str(Box<str>),
    /// A list; empty for `[]`.
    List(Vec<Value>),
}

impl Value {
    /// The number, if it is a whole one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, whole or not.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(number) => number.to_string().parse().ok(),
            Self::Float(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list; a scalar counts as a list of one, as it does for LVM.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            scalar => std::slice::from_ref(scalar),
        }
    }

    /// The strings among [`Value::items`].
    pub fn strings(&self) -> impl Iterator<Item = &str> {
        self.items().iter().filter_map(Self::as_str)
    }
}

/// What stands behind a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// `key = value`.
    Value(Value),
    /// `key { ... }`.
    Section(Section),
}

/// A key and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub(crate) key: Box<str>,
    pub(crate) body: Body,
}

impl Node {
    /// Makes a node.
    pub fn new(key: &str, body: Body) -> Self {
        Self {
            key: key.into(),
            body,
        }
    }

    /// The key, without quotes.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands behind the key.
    pub fn body(&self) -> &Body {
        &self.body
    }

    fn value(&self) -> Option<&Value> {
        match &self.body {
            Body::Value(value) => Some(value),
            Body::Section(_) => None,
        }
    }

    fn section(&self) -> Option<&Section> {
        match &self.body {
            Body::Section(section) => Some(section),
            Body::Value(_) => None,
        }
    }
}

/// Nodes in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    pub(crate) nodes: Vec<Node>,
}

impl Section {
    /// Makes a section.
    pub fn new(nodes: Vec<Node>) -> Self {
        Self { nodes }
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The sections in this one with their keys, in order.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.nodes
            .iter()
            .filter_map(|node| Some((node.key(), node.section()?)))
    }

    /// The values in this section with their keys, in order.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.nodes
            .iter()
            .filter_map(|node| Some((node.key(), node.value()?)))
    }

    /// The first value at a path such as `activation/udev_sync`, or `None`.
    pub fn find(&self, path: &str) -> Option<&Value> {
        match path.split_once('/') {
            None => self
                .values()
                .find(|(key, _)| *key == path)
                .map(|(_, value)| value),
            Some((head, tail)) => self
                .sections()
                .filter(|(key, _)| *key == head)
                .find_map(|(_, section)| section.find(tail)),
        }
    }

    /// The first section at a path, or `None`.
    pub fn find_section(&self, path: &str) -> Option<&Section> {
        match path.split_once('/') {
            None => self
                .sections()
                .find(|(key, _)| *key == path)
                .map(|(_, section)| section),
            Some((head, tail)) => self
                .sections()
                .filter(|(key, _)| *key == head)
                .find_map(|(_, section)| section.find_section(tail)),
        }
    }

    /// Joins sections of one name and keeps the last of values with one key: LVM's rule for files.
    ///
    /// For metadata on a disk the first one counts, which is what [`Section::find`] gives without this.
    #[must_use]
    pub fn merge_duplicates(self) -> Self {
        let mut merged: Vec<Node> = Vec::new();
        let mut index = std::collections::HashMap::<Box<str>, usize>::new();
        for node in self.nodes {
            let old = index.get(&node.key).and_then(|at| merged.get_mut(*at));
            match (old, node.body) {
                (
                    Some(Node {
                        body: Body::Section(old),
                        ..
                    }),
                    Body::Section(new),
                ) => old.nodes.extend(new.nodes),
                (Some(old), body) => old.body = body,
                (None, body) => {
                    index.insert(node.key.clone(), merged.len());
                    merged.push(Node { key: node.key, body });
                }
            }
        }
        for node in &mut merged {
            if let Body::Section(section) = &mut node.body {
                *section = std::mem::take(section).merge_duplicates();
            }
        }
        Self { nodes: merged }
    }
}
