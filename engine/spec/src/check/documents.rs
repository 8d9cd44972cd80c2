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
    /// The kinds of which a spec may be missing here.
    pub(super) unread: Unread,
}

/// Whether a spec of a kind could not be read: then what seems to be missing may be that one.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "it is a set of the four kinds"
)]
pub(super) struct Unread {
    pub(super) projects: bool,
    pub(super) connections: bool,
    pub(super) domains: bool,
    pub(super) pipelines: bool,
}

impl Unread {
    /// A file could not be read, and nobody knows what it is.
    const ANY: Self = Self {
        projects: true,
        connections: true,
        domains: true,
        pipelines: true,
    };
}

impl Written<'_> {
    /// Whether all that refers to something was read: every Project and Pipeline, to its last field.
    pub(super) fn refers_whole(&self) -> bool {
        !self.unread.projects
            && !self.unread.pipelines
            && self.projects.iter().all(|doc| doc.whole)
            && self.pipelines.iter().all(|doc| doc.whole)
    }

    /// Whether all that says which tables there are was read: every Domain and Pipeline, to its last field.
    pub(super) fn tables_whole(&self) -> bool {
        !self.unread.domains
            && !self.unread.pipelines
            && self.domains.iter().all(|doc| doc.whole)
            && self.pipelines.iter().all(|doc| doc.whole)
    }
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

/// Parses every YAML file; also whether one could not be parsed.
pub(super) fn parse(sources: &Sources, found: &mut Vec<Diagnostic>) -> (Vec<Document>, bool) {
    let mut documents = Vec::new();
    let mut unparsed = false;
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
            unparsed = true;
            continue;
        }
        match yaml::parse(file, source, found) {
            Some(node) => documents.push(Document { file, node }),
            None => unparsed = true,
        }
    }
    (documents, unparsed)
}

/// Reads every document as what it says it is; `unparsed` says that there are files without a document.
pub(super) fn read<'a>(
    documents: &'a [Document],
    unparsed: bool,
    found: &mut Vec<Diagnostic>,
) -> Written<'a> {
    let mut written = Written::default();
    let mut nameless = unparsed;
    let unread = &mut written.unread;
    for document in documents {
        let Some((kind, anchor)) = kind_of(document, found) else {
            nameless = true;
            continue;
        };
        match kind {
            "Project" => unread.projects |= !one(document, anchor, &mut written.projects, found),
            "Connection" => {
                unread.connections |= !one(document, anchor, &mut written.connections, found);
            }
            "Domain" => unread.domains |= !one(document, anchor, &mut written.domains, found),
            _ => unread.pipelines |= !one(document, anchor, &mut written.pipelines, found),
        }
    }
    if nameless {
        written.unread = Unread::ANY;
    }
    written
}

/// Reads one document; whether there is a spec of it, if not a whole one.
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
            true
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
