//! Text → Document. The only file that knows the YAML parser.
//!
//! A document is a tree of values, each with its place. Anchors, aliases, merge keys and tags are refused: reuse is in
//! the language (`defaults`, `environments`). Knows nothing of specs.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{
    Budget, DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Options, Spanned,
};

use crate::diagnostic::{Code, Diagnostic};
use crate::source::{FileId, Position, Source, Span};

/// The most bytes a spec may have.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
/// The most values a spec may have.
const MAX_NODES: usize = 20_000;
/// How deep values may be nested.
const MAX_DEPTH: usize = 64;

pub(crate) const YAML_SYNTAX: Code = Code {
    name: "yaml-syntax",
    explain: "The file is not YAML 1.2, or has more than one document.\n\n\
              A spec is one mapping in one file: `kind: Pipeline`, `name: …` and so on. Anchors (`&a`), aliases (`*a`), \
              merge keys (`<<`) and tags (`!x`) are not part of the language: reuse is in `defaults` and `environments`.",
};
pub(crate) const DUPLICATE_KEY: Code = Code {
    name: "duplicate-key",
    explain: "A mapping has the same key twice. Only one of the two values could count, so neither does.\n\n\
              Remove one of them.",
};
pub(crate) const TOO_LARGE: Code = Code {
    name: "too-large",
    explain: "A file is larger than 1 MiB, has more than 20 000 values, or is nested more than 64 deep.\n\n\
              Split it: where a spec lies does not matter, and long SQL goes to a `.sql` file.",
};

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Unique in its document.
    pub(crate) id: u32,
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

/// A key and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Node {
    /// The value at a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Mapping(entries) => entries
                .iter()
                .find(|(k, _)| k.text == key)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// The node of this number in this tree.
    pub(crate) fn find(&self, id: u32) -> Option<&Self> {
        if self.id == id {
            return Some(self);
        }
        match &self.value {
            Value::Sequence(items) => items.iter().find_map(|item| item.find(id)),
            Value::Mapping(entries) => entries.iter().find_map(|(_, node)| node.find(id)),
            _ => None,
        }
    }

    /// The same as JSON, without places.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => i64::try_from(*value)
                .map(serde_json::Value::from)
                .or_else(|_| u64::try_from(*value).map(serde_json::Value::from))
                .unwrap_or(serde_json::Value::Null),
            Value::Float(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
            Value::Sequence(items) => items.iter().map(Self::to_json).collect(),
            Value::Mapping(entries) => entries
                .iter()
                .map(|(key, node)| (key.text.clone(), node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

/// Parses the one document of a file. `None` where it cannot be read at all; what else is wrong is pushed.
pub(crate) fn parse(file: FileId, source: &Source, found: &mut Vec<Diagnostic>) -> Option<Node> {
    if source.text.len() > MAX_BYTES {
        let message = format!(
            "this file has {} bytes; a spec has at most {MAX_BYTES}",
            source.text.len()
        );
        found.push(
            Diagnostic::error(&TOO_LARGE, Span::start_of(file), message)
                .help("split it into several files"),
        );
        return None;
    }
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(&source.text, options()) {
        Ok(raw) => {
            let mut tree = Tree {
                file,
                source,
                next: 0,
                found,
            };
            Some(tree.node(raw))
        }
        Err(error) => {
            found.push(refused(file, source, error.without_snippet()));
            None
        }
    }
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_reader_input_bytes = Some(MAX_BYTES);
    budget.max_nodes = MAX_NODES;
    budget.max_depth = MAX_DEPTH;
    budget.flow_nesting_limit = MAX_DEPTH;
    budget.max_anchors = 0;
    budget.max_aliases = 0;
    let mut options = Options::default();
    options.budget = Some(budget);
    // Keys are compared by `Tree`, which can show both places and goes on after the first.
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.merge_keys = MergeKeyPolicy::AsOrdinary;
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.underscored_numbers_as_strings = true;
    options.reject_unsupported_tags = true;
    options.non_finite_float_policy = NonFiniteFloatPolicy::Reject;
    options.with_snippet = false;
    options
}

fn refused(file: FileId, source: &Source, error: &serde_saphyr::Error) -> Diagnostic {
    let span = error.location().map_or(Span::start_of(file), |location| {
        place(file, location, source)
    });
    let sentence = error.to_string();
    let sentence = sentence.split(" at line ").next().unwrap_or_default();
    let (code, message, help) = match error {
        serde_saphyr::Error::Budget { breach, .. } => match breach {
            serde_saphyr::budget::BudgetBreach::Anchors { .. }
            | serde_saphyr::budget::BudgetBreach::Aliases { .. } => (
                &YAML_SYNTAX,
                "anchors and aliases are not part of the language".to_owned(),
                Some(
                    "reuse is in `defaults` and `environments`; quote a text that starts with `&` or `*`",
                ),
            ),
            serde_saphyr::budget::BudgetBreach::Depth { .. } => too_deep(),
            _ => (
                &TOO_LARGE,
                format!("this file has more than {MAX_NODES} values"),
                Some("split it into several files; where a spec lies does not matter"),
            ),
        },
        serde_saphyr::Error::MultipleDocuments { .. } => (
            &YAML_SYNTAX,
            "a file has one document".to_owned(),
            Some("put each spec into its own file; where it lies does not matter"),
        ),
        serde_saphyr::Error::Eof { .. } => (&YAML_SYNTAX, "this file is empty".to_owned(), None),
        _ if sentence.contains("recursion limit") => too_deep(),
        _ if sentence.to_lowercase().contains("tag") => (
            &YAML_SYNTAX,
            "tags are not part of the language".to_owned(),
            Some("quote a text that starts with `!`"),
        ),
        _ => (
            &YAML_SYNTAX,
            format!("this is not YAML: {}", lower(sentence).replace('"', "`")),
            if sentence.contains("tab") {
                Some("indent with spaces")
            } else if sentence.contains("quote") {
                Some("close the quote, or double one that stands inside: `''`")
            } else {
                Some("the mistake is here or just before; look at indentation, quotes and brackets")
            },
        ),
    };
    let diagnostic = Diagnostic::error(code, span, message);
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

fn too_deep() -> (&'static Code, String, Option<&'static str>) {
    (
        &TOO_LARGE,
        format!("values are nested more than {MAX_DEPTH} deep"),
        Some("no spec needs that; look for brackets that were not closed"),
    )
}

fn lower(sentence: &str) -> String {
    let mut chars = sentence.trim().trim_end_matches('.').chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

/// The parser's place. It knows bytes for values, and only line and column for some mistakes.
fn place(file: FileId, location: serde_saphyr::Location, source: &Source) -> Span {
    let narrow = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let len = source.text.len();
    let start = location.span().byte_offset().map_or_else(
        || {
            let (line, column) = (narrow(location.line()), narrow(location.column()));
            source.offset(Position { line, column }) as usize
        },
        narrow,
    );
    let start = start.min(len);
    let end = start
        .saturating_add(narrow(location.span().byte_len().unwrap_or(0)))
        .min(len);
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span {
        file,
        start: narrow(start),
        end: narrow(end),
    }
}

/// What the parser gives, before keys are compared and places are widened.
enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Sequence(Vec<Spanned<Self>>),
    Mapping(Vec<(Spanned<Self>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Mapping(entries))
    }
}

/// Builds the tree: numbers nodes, refuses equal keys, and lets a container reach from its first to its last child.
struct Tree<'a> {
    file: FileId,
    source: &'a Source,
    next: u32,
    found: &'a mut Vec<Diagnostic>,
}

impl Tree<'_> {
    fn node(&mut self, raw: Spanned<Raw>) -> Node {
        let id = self.next;
        self.next += 1;
        let mut span = place(self.file, raw.referenced, self.source);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Int(value) => Value::Int(value),
            Raw::Float(value) => Value::Float(value),
            Raw::Text(text) => {
                // The parser lets a block reach to the next token.
                let written = self.source.slice(span.start, span.end).trim_end();
                span.end = span.start + u32::try_from(written.len()).unwrap_or(0);
                self.text(text, span)
            }
            Raw::Sequence(items) => {
                Value::Sequence(items.into_iter().map(|item| self.node(item)).collect())
            }
            Raw::Mapping(entries) => Value::Mapping(self.entries(entries)),
        };
        match &value {
            Value::Sequence(items) => {
                if let Some(last) = items.last() {
                    span = span.to(last.span);
                }
            }
            Value::Mapping(entries) => {
                if let (Some((first, _)), Some((_, last))) = (entries.first(), entries.last()) {
                    span = Span {
                        start: span.start.min(first.span.start),
                        ..span
                    }
                    .to(last.span);
                }
            }
            _ => {}
        }
        Node { id, span, value }
    }

    /// `500_000` without quotes is a number.
    fn text(&self, text: String, span: Span) -> Value {
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let grouped = digits.contains('_')
            && digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.ends_with(|c: char| c.is_ascii_digit())
            && digits.chars().all(|c| c.is_ascii_digit() || c == '_')
            && !digits.contains("__");
        if grouped
            && self.source.slice(span.start, span.end) == text
            && let Ok(number) = text.replace('_', "").parse()
        {
            return Value::Int(number);
        }
        Value::Text(text)
    }

    fn entries(&mut self, raw: Vec<(Spanned<Raw>, Spanned<Raw>)>) -> Vec<(Key, Node)> {
        let mut entries = Vec::with_capacity(raw.len());
        let mut first: BTreeMap<String, Span> = BTreeMap::new();
        for (key, value) in raw {
            let span = place(self.file, key.referenced, self.source);
            let node = self.node(value);
            let Raw::Text(text) = key.value else {
                let message = "a key must be text";
                self.found.push(
                    Diagnostic::error(&YAML_SYNTAX, span, message)
                        .help("quote it, or write a word"),
                );
                continue;
            };
            if text == "<<" {
                let message = "merge keys are not part of the language";
                let help = "reuse is in `defaults` and `environments`";
                self.found
                    .push(Diagnostic::error(&YAML_SYNTAX, span, message).help(help));
                continue;
            }
            if let Some(before) = first.get(&text) {
                let finding = Diagnostic::error(
                    &DUPLICATE_KEY,
                    span,
                    format!("the key `{text}` is here twice"),
                );
                self.found.push(
                    finding
                        .label("again")
                        .also(*before, "first here")
                        .help("remove one of them"),
                );
                continue;
            }
            first.insert(text.clone(), span);
            entries.push((Key { text, span }, node));
        }
        entries
    }
}
