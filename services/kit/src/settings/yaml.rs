//! A configuration file as a flat list of places, values and lines.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// One value of the file.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where it stands, such as `execution.namespace`.
    pub(super) path: String,
    pub(super) line: u64,
    pub(super) given: Given,
}

/// What was given.
#[derive(Debug)]
pub(super) enum Given {
    Nothing,
    One(String),
    List(Vec<Spanned<Node>>),
}

impl Given {
    /// The values as an argument would get them.
    pub(super) fn values(&self) -> Result<Vec<String>, String> {
        match self {
            Self::Nothing => Err("has no value".to_owned()),
            Self::One(value) => Ok(vec![value.clone()]),
            Self::List(items) => items.iter().map(|item| item.value.plain()).collect(),
        }
    }
}

/// A node of the document.
#[derive(Debug)]
pub(super) enum Node {
    Nothing,
    Value(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Node {
    fn plain(&self) -> Result<String, String> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            _ => Err("takes a list of plain values".to_owned()),
        }
    }
}

/// Reads a document. Fails with a line and what is wrong there.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, (u64, String)> {
    let root: Spanned<Node> = match serde_saphyr::from_str(text) {
        Ok(root) => root,
        Err(error) => {
            let line = error.location().map_or(1, |location| location.line());
            return Err((line, error.without_snippet().to_string()));
        }
    };
    let mut entries = Vec::new();
    match root.value {
        Node::Nothing => {}
        Node::Map(fields) => flatten("", fields, &mut entries),
        _ => return Err((line(&root.referenced), "must be keys and values".to_owned())),
    }
    Ok(entries)
}

fn flatten(prefix: &str, fields: Vec<(Spanned<String>, Spanned<Node>)>, entries: &mut Vec<Entry>) {
    for (key, node) in fields {
        let path = if prefix.is_empty() { key.value } else { format!("{prefix}.{}", key.value) };
        let line = line(&key.referenced);
        let given = match node.value {
            Node::Map(fields) if !fields.is_empty() => {
                flatten(&path, fields, entries);
                continue;
            }
            Node::Map(_) | Node::Nothing => Given::Nothing,
            Node::Value(value) => Given::One(value),
            Node::List(items) => Given::List(items),
        };
        entries.push(Entry { path, line, given });
    }
}

fn line(location: &Location) -> u64 {
    location.line().max(1)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or keys and values")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Value(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Value(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Value(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Value(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Value(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(field) = fields.next_entry()? {
            map.push(field);
        }
        Ok(Node::Map(map))
    }
}
