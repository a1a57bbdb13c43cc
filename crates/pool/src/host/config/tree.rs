//! The settings of all files, merged, with typed access.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::parse::{self, Node, Value};
use crate::host::{Error, Result};

/// The lists to which a later file adds in front.
const GROWING: [&str; 3] = ["devices/filter", "devices/types", "activation/volume_list"];

/// One file.
#[derive(Debug)]
pub(super) struct Layer {
    path: PathBuf,
    nodes: Vec<Node>,
}

/// The settings as they count, by `section/key`, with the file that set each.
#[derive(Debug, Default)]
pub(super) struct Tree {
    values: BTreeMap<String, (PathBuf, Value)>,
    /// The default of `devices/use_devicesfile` in this host's LVM, as far as it is known.
    pub(super) use_devicesfile_of_build: Option<bool>,
}

impl Layer {
    pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Self> {
        match parse::parse(text) {
            Ok(nodes) => Ok(Self {
                path: path.to_owned(),
                nodes,
            }),
            Err(err) => Err(Error::ConfigSyntax {
                path: path.to_owned(),
                line: err.line,
                why: err.why,
            }),
        }
    }

    fn value(&self, path: &[&str]) -> Option<&Value> {
        let mut found = self
            .nodes
            .iter()
            .rev()
            .filter(|node| node.path.iter().eq(path.iter()));
        found.find_map(|node| node.value.as_ref())
    }

    /// Adds the tags that the file gives this host.
    pub(super) fn host_tags(&self, host_name: &str, tags: &mut Vec<String>) -> Result<()> {
        let mut add = |tag: &str| {
            if !tags.iter().any(|known| known == tag) {
                tags.push(tag.to_owned());
            }
        };
        if let Some(value) = self.value(&["tags", "hosttags"])
            && flag(value).ok_or_else(|| self.wrong("tags/hosttags", value, "0 or 1"))?
            && is_tag(host_name)
        {
            add(host_name);
        }
        for node in self.nodes.iter().filter(|node| node.value.is_none()) {
            let [section, name] = node.path.as_slice() else {
                continue;
            };
            if section != "tags" {
                continue;
            }
            let tag = name.strip_prefix('@').unwrap_or(name);
            let key = format!("tags/{name}");
            if !is_tag(tag) {
                return Err(self.wrong(
                    &key,
                    &Value::Text(tag.to_owned()),
                    "a name of letters, digits and _+.-",
                ));
            }
            if let Some(value) = self.value(&["tags", name, "host_filter"]) {
                return Err(self.wrong(
                    &format!("{key}/host_filter"),
                    value,
                    "anything: LVM does not support it",
                ));
            }
            let listed = match self.value(&["tags", name, "host_list"]) {
                None => true,
                Some(value) => texts(value)
                    .ok_or_else(|| self.wrong(&format!("{key}/host_list"), value, "a list of texts"))?
                    .iter()
                    .any(|host| host == host_name),
            };
            if listed {
                add(tag);
            }
        }
        Ok(())
    }

    fn wrong(&self, key: &str, value: &Value, expected: &'static str) -> Error {
        wrong(&self.path, key, value, expected)
    }
}

impl Tree {
    /// Puts a file's settings over those before it.
    ///
    /// With `host_tags`, which all files but the first have, a section that lists `tags` counts only if one of them
    /// is this host's, and the lists that grow do so.
    pub(super) fn merge(&mut self, layer: Layer, host_tags: Option<&[String]>) {
        let is_ours = |section: &str| {
            let (Some(host_tags), Some(value)) = (host_tags, layer.value(&[section, "tags"])) else {
                return true;
            };
            let wanted = texts(value).unwrap_or_default();
            wanted
                .iter()
                .any(|tag| match tag.strip_prefix('@').unwrap_or(tag) {
                    "*" => !host_tags.is_empty(),
                    tag => host_tags.iter().any(|ours| ours == tag),
                })
        };
        let ours: Vec<bool> = layer
            .nodes
            .iter()
            .map(|node| node.path.first().is_some_and(|name| is_ours(name)))
            .collect();
        let mut own: BTreeMap<String, Value> = BTreeMap::new();
        for (node, ours) in layer.nodes.into_iter().zip(ours) {
            if let (
                Node {
                    path,
                    value: Some(value),
                },
                true,
            ) = (node, ours)
            {
                own.insert(path.join("/"), value);
            }
        }
        for (key, value) in own {
            let old = self.values.remove(&key);
            let value = match old {
                Some((_, old)) if host_tags.is_some() && GROWING.contains(&key.as_str()) => {
                    Value::List(list(value).into_iter().chain(list(old)).collect())
                }
                _ => value,
            };
            self.values.insert(key, (layer.path.clone(), value));
        }
    }

    fn get<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some((path, value)) = self.values.get(key) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .ok_or_else(|| wrong(path, key, value, expected))
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self.get(key, "0 or 1", flag)?.unwrap_or(default))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        self.get(key, "a text", |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.get(key, "a list of texts", texts)
    }

    /// The texts of a list that has numbers in it as well.
    pub(super) fn names(&self, key: &str) -> Result<Vec<String>> {
        let names = |value: &Value| {
            let texts = list(value.clone()).into_iter().filter_map(|value| match value {
                Value::Text(text) => Some(text),
                _ => None,
            });
            Some(texts.collect())
        };
        Ok(self.get(key, "a list", names)?.unwrap_or_default())
    }

    pub(super) fn count(&self, key: &str, default: u32) -> Result<u32> {
        let count = |value: &Value| match value {
            Value::Int(number) => u32::try_from(*number).ok(),
            _ => None,
        };
        Ok(self
            .get(key, "a number of at most 32 bits", count)?
            .unwrap_or(default))
    }

    /// A length in units of `unit` bytes, as bytes.
    pub(super) fn optional_bytes(&self, key: &str, unit: u64) -> Result<Option<u64>> {
        self.get(key, "a size", |value| match value {
            Value::Int(number) => u64::try_from(*number).ok()?.checked_mul(unit),
            _ => None,
        })
    }

    pub(super) fn bytes(&self, key: &str, default: u64, unit: u64) -> Result<u64> {
        Ok(self
            .optional_bytes(key, unit)?
            .unwrap_or(default.saturating_mul(unit)))
    }
}

/// The default that a packaged `lvm.conf` shows as `# use_devicesfile = 1`, which is how its LVM was built.
pub(super) fn default_in_comment(text: &[u8]) -> Option<bool> {
    const NAME: &str = "use_devicesfile";
    let text = parse::decode(text);
    let mut found = text.match_indices(NAME);
    found.find_map(|(at, _)| {
        let (before, after) = (text.get(..at)?, text.get(at + NAME.len()..)?);
        let is_comment = before.lines().next_back()?.trim() == "#";
        let value = after
            .lines()
            .next()?
            .trim_start()
            .strip_prefix('=')
            .filter(|_| is_comment)?;
        match value.trim() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        }
    })
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Int(number) => Some(*number != 0),
        Value::Text(text) => match text.to_ascii_lowercase().as_str() {
            "y" | "yes" | "on" | "true" => Some(true),
            "n" | "no" | "off" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::List(list) => list,
        other => vec![other],
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value| match value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    list(value.clone()).into_iter().map(text).collect()
}

fn is_tag(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+.-".contains(c);
    !text.is_empty() && text.len() < 128 && !text.starts_with('-') && text.chars().all(legal)
}

fn wrong(path: &Path, key: &str, value: &Value, expected: &'static str) -> Error {
    let found = match value {
        Value::Int(number) => number.to_string(),
        Value::Float(text) => text.clone(),
        Value::Text(text) => format!("{:?}", text.chars().take(140).collect::<String>()),
        Value::List(_) => "a list".to_owned(),
    };
    Error::ConfigValue {
        path: path.to_owned(),
        key: key.to_owned(),
        found,
        expected,
    }
}
