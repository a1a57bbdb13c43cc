//! Text to tree.

use std::borrow::Cow;

use super::error::{TextError, TextErrorKind as Kind};
use super::lexer::{Item, Lexer, Scalar};
use super::node::{Body, Node, Section, Value};

/// Sections within sections that are read; LVM's own metadata has five.
pub(crate) const DEPTH_LIMIT: usize = 32;
/// Keys, sections and list elements of one tree.
pub(crate) const NODE_LIMIT: usize = 1_000_000;

/// Parses a configuration text, up to its first NUL.
///
/// Bytes that are no UTF-8 become replacement characters.  Keys with slashes become sections in sections.  Never
/// panics; memory is bounded by the input and by a limit of a million nodes.
///
/// # Errors
/// [`TextError`] with the byte where the text stops making sense.
pub fn parse(text: &[u8]) -> Result<Section, TextError> {
    let text = readable(without_nul(text));
    let mut lexer = Lexer::new(&text);
    let mut nodes = NODE_LIMIT;
    let section = parse_items(&mut lexer, 0, &mut nodes, false)?;
    Ok(section)
}

/// A text with replacement characters for what is no UTF-8.
fn readable(text: &[u8]) -> Cow<'_, str> {
    // Of what is UTF-8 this is the quicker way to see it.
    std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed)
}

/// Bytes that are searched for a NUL at once.
const NUL_BLOCK: usize = 256;

/// The text before its first NUL.
pub(crate) fn without_nul(text: &[u8]) -> &[u8] {
    // Most texts have one at their end alone.  Whole blocks are looked at: what need not stop can look at many bytes at once.
    let has_nul = |block: &[u8]| block.iter().fold(false, |any, byte| any | (*byte == 0));
    let before = text
        .chunks(NUL_BLOCK)
        .take_while(|block| !has_nul(block))
        .map(<[u8]>::len)
        .sum();
    let (front, rest) = text.split_at(before);
    match rest.iter().position(|byte| *byte == 0) {
        Some(length) => text.get(..before.saturating_add(length)).unwrap_or(front),
        None => text,
    }
}

/// Parses what stands behind a key: a value, or a section's items up to its `}`.
pub(crate) fn parse_body(
    lexer: &mut Lexer<'_>,
    item: &Item<'_>,
    depth: usize,
    nodes: &mut usize,
) -> Result<Body, TextError> {
    take_node(lexer, nodes)?;
    match item {
        Item::Assign(key) => {
            let mut items = Vec::new();
            let mut left = *nodes;
            let is_list = lexer.value(key, |scalar| {
                left = left.checked_sub(1).ok_or(Kind::TooManyNodes.at(0))?;
                items.push(match scalar {
                    Scalar::Int(number) => Value::Int(number),
                    Scalar::Float(text) => Value::Float(text.into()),
                    Scalar::Str(text) => Value::Str(text.into()),
                });
                Ok::<(), TextError>(())
            })?;
            *nodes = left;
            let value = match (is_list, items.pop()) {
                (false, Some(value)) => value,
                (_, last) => {
                    items.extend(last);
                    Value::List(items)
                }
            };
            Ok(Body::Value(value))
        }
        _ => parse_items(lexer, depth.saturating_add(1), nodes, true).map(Body::Section),
    }
}

fn take_node(lexer: &Lexer<'_>, nodes: &mut usize) -> Result<(), TextError> {
    *nodes = nodes
        .checked_sub(1)
        .ok_or_else(|| Kind::TooManyNodes.at(lexer.item_at()))?;
    Ok(())
}

/// Parses items up to the end of the text, or to the `}` of a section whose `{` was read.
fn parse_items(
    lexer: &mut Lexer<'_>,
    depth: usize,
    nodes: &mut usize,
    inside: bool,
) -> Result<Section, TextError> {
    if depth > DEPTH_LIMIT {
        return Err(Kind::TooDeep.at(lexer.item_at()));
    }
    let mut section = Section::default();
    loop {
        let item = lexer.item()?;
        let key: Cow<'_, str> = match &item {
            Item::Assign(key) | Item::Open(key) => key.clone(),
            Item::Close if inside => return Ok(section),
            Item::End if !inside => return Ok(section),
            Item::Close => return Err(Kind::UnexpectedBrace.at(lexer.item_at())),
            Item::End => return Err(Kind::UnexpectedEnd.at(lexer.at())),
        };
        let mut parts = key.rsplit('/').filter(|part| !part.is_empty());
        let own = parts.next().unwrap_or_default();
        let outer = parts.clone().count();
        if depth.saturating_add(outer) > DEPTH_LIMIT {
            return Err(Kind::TooDeep.at(lexer.item_at()));
        }
        let mut node = Node::new(own, parse_body(lexer, &item, depth.saturating_add(outer), nodes)?);
        for part in parts {
            take_node(lexer, nodes)?;
            node = Node::new(part, Body::Section(Section::new(vec![node])));
        }
        section.nodes.push(node);
    }
}

#[cfg(test)]
mod tests;
