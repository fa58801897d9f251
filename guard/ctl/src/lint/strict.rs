//! A serde deserializer that reports fields that a type does not have.
//!
//! The types of k8s-openapi ignore unknown fields, as the API server does by default. But each type passes the names of its fields to the
//! deserializer, so this one compares them with the keys in the document. A comparison after a round trip would also report values that
//! a type only writes differently: quantities, int-or-string, nulls and empty maps.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Value;

/// A part of a document that does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A key that the type does not have.
    Unknown {
        /// The JSON path of the key.
        path: String,
        /// The most similar key of the type, if one is similar enough.
        nearest: Option<&'static str>,
    },
    /// A value of a wrong type, or a missing field.
    Type {
        /// The JSON path of the value.
        path: String,
        /// What was found and what is wanted.
        message: String,
    },
}

/// Decodes a value as a `T` and returns the faults. The first part is `None` if the value cannot be decoded at all.
pub fn decode<'v, T: Deserialize<'v>>(value: &'v Value) -> (Option<T>, Vec<Fault>) {
    let faults = RefCell::new(Vec::new());
    let decoded = T::deserialize(Strict { value, path: String::new(), faults: &faults });
    let mut faults = faults.into_inner();
    match decoded {
        Ok(typed) => (Some(typed), faults),
        Err(Mismatch { path, message }) => {
            faults.push(Fault::Type { path: path.unwrap_or_default(), message });
            (None, faults)
        }
    }
}

/// The error of one value. The innermost frame that knows its path sets it.
#[derive(Debug)]
struct Mismatch {
    path: Option<String>,
    message: String,
}

impl Mismatch {
    fn at(mut self, path: &str) -> Self {
        self.path.get_or_insert_with(|| path.to_owned());
        self
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mismatch {}

impl serde::de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string() }
    }
}

struct Strict<'v, 'f> {
    value: &'v Value,
    path: String,
    faults: &'f RefCell<Vec<Fault>>,
}

impl<'v, 'f> Strict<'v, 'f> {
    fn child(&self, value: &'v Value, step: &str) -> Strict<'v, 'f> {
        Strict { value, path: join(&self.path, step), faults: self.faults }
    }
}

/// Appends a key to a JSON path. A key that is not a plain word is quoted.
pub fn join(path: &str, key: &str) -> String {
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match (path.is_empty(), plain || key.starts_with('[')) {
        (true, true) => key.to_owned(),
        (true, false) => format!("[\"{key}\"]"),
        (false, _) if key.starts_with('[') => format!("{path}{key}"),
        (false, true) => format!("{path}.{key}"),
        (false, false) => format!("{path}[\"{key}\"]"),
    }
}

impl<'v> Deserializer<'v> for Strict<'v, '_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let path = self.path.clone();
        match self.value {
            Value::Object(map) => visitor.visit_map(Entries { parent: self, rest: map.iter(), value: None }),
            Value::Array(items) => visitor.visit_seq(Items { parent: self, items: items.iter().enumerate() }),
            scalar => scalar.deserialize_any(visitor).map_err(Mismatch::custom),
        }
        .map_err(|error| error.at(&path))
    }

    fn deserialize_struct<V: Visitor<'v>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        if let Value::Object(map) = self.value {
            let unknown = map.keys().filter(|key| !fields.contains(&key.as_str()));
            self.faults
                .borrow_mut()
                .extend(unknown.map(|key| Fault::Unknown { path: join(&self.path, key), nearest: nearest(key, fields) }));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'v>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        let path = self.path.clone();
        visitor.visit_newtype_struct(self).map_err(|error| error.at(&path))
    }

    fn deserialize_ignored_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'v>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map enum identifier
    }
}

struct Entries<'v, 'f> {
    parent: Strict<'v, 'f>,
    rest: serde_json::map::Iter<'v>,
    value: Option<Strict<'v, 'f>>,
}

impl<'v> MapAccess<'v> for Entries<'v, '_> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'v>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(self.parent.child(value, key));
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'v>>(&mut self, seed: S) -> Result<S::Value, Mismatch> {
        let value = self.value.take().ok_or_else(|| Mismatch::custom("a value was asked for before its key"))?;
        seed.deserialize(value)
    }
}

struct Items<'v, 'f> {
    parent: Strict<'v, 'f>,
    items: std::iter::Enumerate<std::slice::Iter<'v, Value>>,
}

impl<'v> SeqAccess<'v> for Items<'v, '_> {
    type Error = Mismatch;

    fn next_element_seed<S: DeserializeSeed<'v>>(&mut self, seed: S) -> Result<Option<S::Value>, Mismatch> {
        let Some((index, value)) = self.items.next() else { return Ok(None) };
        seed.deserialize(self.parent.child(value, &format!("[{index}]"))).map(Some)
    }
}

/// Returns the known name that is most similar to this one, if the difference is small enough for a typing error.
fn nearest(key: &str, fields: &'static [&'static str]) -> Option<&'static str> {
    let lower = key.to_lowercase();
    let distances = fields.iter().map(|field| (strsim::levenshtein(&lower, &field.to_lowercase()), *field));
    let (least, field) = distances.min_by_key(|(distance, _)| *distance)?;
    (least <= 1 + key.len() / 5).then_some(field)
}

#[cfg(test)]
mod tests;
