//! Reads an Authentik blueprint from a `ConfigMap`, with its YAML tags, and resolves the values that the file itself contains.
//!
//! Format: authentik "Blueprints, File structure" and "YAML tags". A tag may refer to something that is known only when the blueprint is
//! applied: a file, a variable, an object of the database. Such values are never guessed: [`Blueprint::text`] is `None` for them.

pub mod models;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::object::{Object, Typed};
use super::strict::join;
use k8s_openapi::api::core::v1::ConfigMap;

/// The tags that a blueprint may use: those of Authentik, except the tags that loop over lists or parse JSON, which are hard to read.
pub const TAGS: [&str; 8] = ["!KeyOf", "!Find", "!File", "!Env", "!Context", "!Format", "!If", "!Condition"];

/// A YAML node with its tag.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The tag, for example `!KeyOf`.
    pub tag: Option<String>,
    /// The value.
    pub content: Content,
}

/// A YAML value.
#[derive(Clone, Debug, Default)]
pub enum Content {
    /// No value.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(String, Node)>),
}

/// A blueprint, or the reason why it could not be read.
pub struct Blueprint<'o> {
    /// The `ConfigMap` that contains it.
    pub object: &'o Object,
    /// The key in the `ConfigMap`.
    pub key: String,
    /// The whole document; [`Content::Null`] if it is not valid YAML.
    pub root: Node,
    /// The error of the YAML parser, if the document could not be read.
    pub fault: Option<String>,
}

/// One entry of a blueprint, with its index.
#[derive(Clone, Copy)]
pub struct Entry<'b> {
    /// The index in the list `entries`.
    pub place: usize,
    /// The entry.
    pub node: &'b Node,
}

impl Node {
    /// Returns the value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.pairs().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Returns the pairs of a mapping. Any other value has none.
    pub fn pairs(&self) -> &[(String, Self)] {
        if let Content::Map(pairs) = &self.content { pairs } else { &[] }
    }

    /// Returns the items of a list. Any other value has none.
    pub fn items(&self) -> &[Self] {
        if let Content::List(items) = &self.content { items } else { &[] }
    }

    /// Returns the string, with or without a tag.
    pub fn scalar(&self) -> Option<&str> {
        if let Content::Text(text) = &self.content { Some(text) } else { None }
    }

    /// Whether the node has this tag.
    pub fn is(&self, tag: &str) -> bool {
        self.tag.as_deref() == Some(tag)
    }

    /// Returns the value of a boolean without a tag.
    pub fn bool(&self) -> Option<bool> {
        if let (Content::Bool(value), None) = (&self.content, &self.tag) { Some(*value) } else { None }
    }

    /// Visits this node and all nodes below it, with their JSON paths.
    pub fn walk<'n>(&'n self, path: &str, visit: &mut dyn FnMut(&str, &'n Self)) {
        visit(path, self);
        for (key, node) in self.pairs() {
            node.walk(&join(path, key), visit);
        }
        for (place, node) in self.items().iter().enumerate() {
            node.walk(&format!("{path}[{place}]"), visit);
        }
    }
}

impl<'b> Entry<'b> {
    /// Returns the JSON path of a field of this entry.
    pub fn path(&self, field: &str) -> String {
        format!("entries[{}].{field}", self.place)
    }

    /// Returns the model. Empty if it is missing or has a tag.
    pub fn model(&self) -> &'b str {
        self.node.get("model").filter(|node| node.tag.is_none()).and_then(Node::scalar).unwrap_or_default()
    }

    /// Returns the id that `!KeyOf` refers to.
    pub fn id(&self) -> Option<&'b str> {
        self.node.get("id")?.scalar()
    }

    /// Returns an attribute or identifier, with its JSON path.
    pub fn value(&self, name: &str) -> Option<(String, &'b Node)> {
        ["attrs", "identifiers"].iter().find_map(|part| {
            let node = self.node.get(part)?.get(name)?;
            Some((self.path(&format!("{part}.{name}")), node))
        })
    }

    /// Whether applying the entry deletes the object. Then only its identifiers matter.
    pub fn is_absent(&self) -> bool {
        self.node.get("state").and_then(Node::scalar) == Some("absent")
    }
}

impl<'o> Blueprint<'o> {
    /// Returns the blueprints in config maps: the values that have `entries` and name models of Authentik.
    pub fn all(maps: &[Typed<'o, ConfigMap>]) -> Vec<Self> {
        let texts = maps.iter().flat_map(|map| map.typed.data.iter().flatten().map(|(key, text)| (map.object, key, text)));
        let is_one = |text: &str| text.contains("authentik_") && text.lines().any(|line| line.starts_with("entries:"));
        texts.filter(|(_, _, text)| is_one(text)).map(|(object, key, text)| Self::read(object, key, text)).collect()
    }

    fn read(object: &'o Object, key: &str, text: &str) -> Self {
        let options = serde_saphyr::options! {
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
            with_snippet: false,
        };
        let (root, fault) = match serde_saphyr::from_str_with_options(text, options) {
            Ok(root) => (root, None),
            Err(error) => (Node::default(), Some(error.to_string())),
        };
        Self { object, key: key.to_owned(), root, fault }
    }

    /// Returns the path of a field, from the `ConfigMap` on.
    pub fn field(&self, path: &str) -> String {
        format!("data[\"{}\"]: {path}", self.key)
    }

    /// Returns all entries.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let list = self.root.get("entries").map(Node::items).unwrap_or_default();
        list.iter().enumerate().map(|(place, node)| Entry { place, node })
    }

    /// Returns the entries of a model, without those that delete their object.
    pub fn of_model<'b>(&'b self, model: &'b str) -> impl Iterator<Item = Entry<'b>> {
        self.entries().filter(move |entry| entry.model() == model && !entry.is_absent())
    }

    /// Returns all values that a node may have: both branches of an `!If`, and the value in the context for a `!Context`.
    pub fn outcomes<'b>(&'b self, node: &'b Node) -> Vec<&'b Node> {
        match (node.tag.as_deref(), node.items()) {
            (Some("!If"), [_, yes, no]) => [self.outcomes(yes), self.outcomes(no)].concat(),
            (Some("!Context"), _) => self.context(node).map_or_else(Vec::new, |node| self.outcomes(node)),
            _ => vec![node],
        }
    }

    /// Returns the value that a `!Context` refers to, or its default.
    fn context<'b>(&'b self, node: &'b Node) -> Option<&'b Node> {
        let key = node.scalar().or_else(|| node.items().first()?.scalar())?;
        // A context may refer to itself. Authentik refuses that; here it must not cause an endless loop.
        let value = self.root.get("context").and_then(|context| context.get(key)).filter(|value| !value.is("!Context"));
        value.or_else(|| node.items().get(1))
    }

    /// Returns the string of a node if the file alone determines it: a literal, a default, or a `!Format` of such values.
    pub fn text(&self, node: &Node) -> Option<String> {
        match node.tag.as_deref() {
            None => node.scalar().map(str::to_owned),
            // An empty default means that the operator sets the value.
            Some("!Env") => self.text(node.items().get(1)?).filter(|default| !default.is_empty()),
            Some("!Context") => self.text(self.context(node)?),
            Some("!Format") => {
                let [format, args @ ..] = node.items() else { return None };
                let mut parts = format.scalar()?.split("%s");
                let mut text = parts.next()?.to_owned();
                let mut args = args.iter();
                for part in parts {
                    text += &self.text(args.next()?)?;
                    text += part;
                }
                Some(text)
            }
            Some(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let serde_saphyr::Tagged(content, tag) = Deserialize::deserialize(deserializer)?;
        Ok(Self { tag, content })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Content;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "only the sign is used")]
    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "only the sign is used")]
    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = entries.next_entry()? {
            pairs.push(pair);
        }
        Ok(Content::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_kept_and_a_text_is_only_what_the_file_says_itself() {
        let root: Node = serde_saphyr::from_str(
            "context: {url: !Env [URL, 'https://photos.example.com'], loop: !Context loop}\n\
             a: !Format ['%s/x', !Context url]\nb: !File /run/x\nc: !If [!Context url, one, two]\nd: !Context [none, three]\nf: !Env [LAN, '']\n\
             e: !Context loop\n",
        )
        .unwrap();
        let object =
            Object::new(0, "test", serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}))
                .unwrap();
        let blueprint = Blueprint { object: &object, key: "x.yaml".to_owned(), root: root.clone(), fault: None };
        let text = |key: &str| blueprint.text(root.get(key).unwrap());
        assert_eq!(text("a").as_deref(), Some("https://photos.example.com/x"));
        assert_eq!(text("b"), None);
        assert_eq!(text("d").as_deref(), Some("three"));
        assert_eq!((text("e"), text("f")), (None, None));
        let both: Vec<_> = blueprint.outcomes(root.get("c").unwrap()).iter().filter_map(|node| node.scalar()).collect();
        assert_eq!(both, ["one", "two"]);
    }
}
