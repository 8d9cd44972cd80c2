//! Files → typed specs: decodes, parses, and reads each document as what its `kind:` says.

use crate::diagnostic::{Code, Diagnostic};
use crate::read::{self, MISSING_FIELD};
use crate::source::{FileId, SourceFile, Sources, Span};
use crate::written::{ConnectionSpec, DomainSpec, PipelineSpec, ProjectSpec};
use crate::yaml::{self, Node, Value};

pub(crate) const BAD_ENCODING: Code = Code {
    name: "bad-encoding",
    explain: "A file is not UTF-8 text, or has a NUL byte in it.\n\nSave it as UTF-8.",
};
pub(crate) const UNKNOWN_KIND: Code = Code {
    name: "unknown-kind",
    explain: "`kind:` says what a file describes: `Project`, `Connection`, `Domain` or `Pipeline`.",
};

const KINDS: [&str; 4] = ["Connection", "Domain", "Pipeline", "Project"];

/// A document of a file.
pub(super) struct Document {
    file: FileId,
    node: Node,
}

/// A spec with the document it was read from.
pub(super) struct Doc<'a, T> {
    pub(super) file: FileId,
    pub(super) node: &'a Node,
    pub(super) spec: T,
    /// Whether nothing in it was skipped.
    pub(super) whole: bool,
}

/// All specs of a project.
#[derive(Default)]
pub(super) struct Written<'a> {
    pub(super) projects: Vec<Doc<'a, ProjectSpec>>,
    pub(super) connections: Vec<Doc<'a, ConnectionSpec>>,
    pub(super) domains: Vec<Doc<'a, DomainSpec>>,
    pub(super) pipelines: Vec<Doc<'a, PipelineSpec>>,
    /// Whether a spec could not be read, wholly or in part.
    pub(super) incomplete: bool,
}

/// Decodes the files. What is not text is reported, and kept with `\u{fffd}` in its place.
pub(super) fn load(files: Vec<SourceFile>, found: &mut Vec<Diagnostic>) -> Sources {
    let mut files = files;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut sources = Sources::default();
    for SourceFile { path, bytes } in files {
        let mut broken = None;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                broken = Some(error.utf8_error().valid_up_to());
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
        };
        let nul = text.find('\0');
        let file = sources.add(path, text);
        let span = |at: usize| {
            let start = u32::try_from(at).unwrap_or(u32::MAX);
            Span {
                file,
                start,
                end: start.saturating_add(1),
            }
        };
        if let Some(at) = broken {
            found.push(
                Diagnostic::error(&BAD_ENCODING, span(at), "this is not UTF-8")
                    .help("save the file as UTF-8"),
            );
        } else if let Some(at) = nul {
            found.push(
                Diagnostic::error(&BAD_ENCODING, span(at), "there is a NUL byte here")
                    .help("remove it"),
            );
        }
    }
    sources
}

/// Parses every YAML file.
pub(super) fn parse(
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
    incomplete: &mut bool,
) -> Vec<Document> {
    let mut documents = Vec::new();
    for path in sources.paths() {
        let yaml = std::path::Path::new(path)
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml");
        let Some((file, source)) = sources.find(path).filter(|_| yaml) else {
            continue;
        };
        if found
            .iter()
            .any(|finding| finding.span.is_some_and(|span| span.file == file))
        {
            *incomplete = true;
            continue;
        }
        match yaml::parse(file, source, found) {
            Some(node) => documents.push(Document { file, node }),
            None => *incomplete = true,
        }
    }
    documents
}

/// Reads every document as what it says it is.
pub(super) fn read<'a>(documents: &'a [Document], found: &mut Vec<Diagnostic>) -> Written<'a> {
    let mut written = Written::default();
    for document in documents {
        let Some((kind, anchor)) = kind_of(document, found) else {
            written.incomplete = true;
            continue;
        };
        let read = match kind {
            "Project" => one(document, anchor, &mut written.projects, found),
            "Connection" => one(document, anchor, &mut written.connections, found),
            "Domain" => one(document, anchor, &mut written.domains, found),
            _ => one(document, anchor, &mut written.pipelines, found),
        };
        written.incomplete |= !read;
    }
    written
}

/// Reads one document; whether all of it was read.
fn one<'a, T: serde::Deserialize<'a>>(
    document: &'a Document,
    anchor: Span,
    into: &mut Vec<Doc<'a, T>>,
    found: &mut Vec<Diagnostic>,
) -> bool {
    match read::read::<T>(&document.node, anchor, found) {
        Some(reads) => {
            into.push(Doc {
                file: document.file,
                node: &document.node,
                spec: reads.spec,
                whole: reads.whole,
            });
            reads.whole
        }
        None => false,
    }
}

/// What a document says it is, and the place of that word.
fn kind_of<'a>(document: &'a Document, found: &mut Vec<Diagnostic>) -> Option<(&'a str, Span)> {
    let node = &document.node;
    let help = "write `kind: Project`, `kind: Connection`, `kind: Domain` or `kind: Pipeline`";
    let start = Span {
        end: node.span.start,
        ..node.span
    };
    match (&node.value, node.get("kind")) {
        (Value::Null, _) => {
            found.push(Diagnostic::error(&MISSING_FIELD, start, "this file is empty").help(help));
            None
        }
        (
            _,
            Some(Node {
                value: Value::Text(kind),
                span,
                ..
            }),
        ) => {
            if KINDS.contains(&kind.as_str()) {
                return Some((kind.as_str(), *span));
            }
            let finding =
                Diagnostic::error(&UNKNOWN_KIND, *span, format!("there is no kind `{kind}`"));
            found.push(match read::nearest(kind, KINDS) {
                Some(near) => finding.suggest(near),
                None => finding.help(help),
            });
            None
        }
        (_, Some(other)) => {
            found.push(Diagnostic::error(&UNKNOWN_KIND, other.span, "`kind` is a word").help(help));
            None
        }
        (_, None) => {
            found.push(
                Diagnostic::error(&MISSING_FIELD, start, "the field `kind` is missing").help(help),
            );
            None
        }
    }
}
