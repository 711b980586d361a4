//! Canonical JSON: keys sorted by their bytes, no whitespace, no key twice.
//!
//! Integers of 64 bits keep every digit; other numbers are IEEE doubles in their shortest form.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

/// Nesting that every reader of a record can be expected to follow.
const DEEPEST: usize = 64;

/// A JSON value, borrowed from its text where it can be.
#[derive(Debug)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Vec<(Cow<'a, str>, Self)>),
}

/// The value is nested too deeply.
#[derive(Debug)]
pub(crate) struct TooDeep;

impl Node<'_> {
    /// Text under `key`, if this is an object that has it.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let Self::Object(fields) = self else { return None };
        match fields.iter().find(|(name, _)| name == key) {
            Some((_, Self::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// Appends the canonical form.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), TooDeep> {
        self.write_at(out, 0)
    }

    fn write_at(&self, out: &mut Vec<u8>, depth: usize) -> Result<(), TooDeep> {
        if depth > DEEPEST {
            return Err(TooDeep);
        }
        match self {
            Self::Null => out.extend(b"null"),
            Self::Bool(value) => write_scalar(value, out),
            Self::Unsigned(value) => write_scalar(value, out),
            Self::Signed(value) => write_scalar(value, out),
            Self::Double(value) => write_scalar(value, out),
            Self::Text(value) => write_scalar(value, out),
            Self::List(items) => {
                out.push(b'[');
                for (n, item) in items.iter().enumerate() {
                    separate(n, out);
                    item.write_at(out, depth + 1)?;
                }
                out.push(b']');
            }
            Self::Object(fields) => {
                out.push(b'{');
                for (n, (key, value)) in fields.iter().enumerate() {
                    separate(n, out);
                    write_scalar(key, out);
                    out.push(b':');
                    value.write_at(out, depth + 1)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

/// Appends a string, number or boolean as JSON.
///
/// # Panics
///
/// Never: writing to memory does not fail, and a scalar has no key that is not a string.
pub(crate) fn write_scalar<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a scalar is written to memory");
}

fn separate(position: usize, out: &mut Vec<u8>) {
    if position > 0 {
        out.push(b',');
    }
}

impl<'de> Deserialize<'de> for Node<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Node::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Node::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((Key(key), value)) = map.next_entry()? {
            fields.push((key, value));
        }
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(twice) = fields.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(A::Error::custom(format_args!("the key {:?} is there twice", twice[0].0)));
        }
        Ok(Node::Object(fields))
    }
}

/// A key, borrowed unless it has escapes in it, which `Cow` alone would not do.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Node::deserialize(deserializer)? {
            Node::Text(text) => Ok(Self(text)),
            _ => Err(D::Error::custom("a key is a string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn canonical(text: &str) -> String {
        let mut out = Vec::new();
        serde_json::from_str::<Node<'_>>(text).unwrap().write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn equal_values_have_equal_bytes() {
        let cases = [
            (r#" { "b" : 1 , "a" : [ true , null ] } "#, r#"{"a":[true,null],"b":1}"#),
            (r#"{"\u0061":"\u00e9\/","A":""}"#, r#"{"A":"","a":"é/"}"#),
            (r#"{"é":1,"z":2,"":3}"#, r#"{"":3,"z":2,"é":1}"#),
            (
                "[18446744073709551615,-9223372036854775808,1.50,1E2]",
                "[18446744073709551615,-9223372036854775808,1.5,100.0]",
            ),
            (r#""\u0001\n\"\\""#, r#""\u0001\n\"\\""#),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text), expected);
            assert_eq!(canonical(expected), expected, "canonical form is not stable");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 6, |inner| {
            let fields = prop::collection::btree_map(any::<String>(), inner.clone(), 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(Value::from),
                fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_canonical_form_is_the_same_value_and_its_own_canonical_form(value in any_value()) {
            let first = canonical(&serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(&serde_json::from_str::<Value>(&first).unwrap(), &value);
            prop_assert_eq!(canonical(&first), first);
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_wherever_it_is() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"c":2,"\u0061":3}}]"#] {
            let error = serde_json::from_str::<Node<'_>>(text).unwrap_err();
            assert!(error.to_string().contains(r#"the key "a" is there twice"#), "{error}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        let write = |text: &str| serde_json::from_str::<Node<'_>>(text).unwrap().write(&mut Vec::new());
        assert!(write(&nested(DEEPEST + 1)).is_ok());
        assert!(write(&nested(DEEPEST + 2)).is_err());
    }
}
