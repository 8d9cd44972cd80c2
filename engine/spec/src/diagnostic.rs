//! Findings in specs: what, where, how bad, and what to do about it.
//!
//! Knows nothing of how a finding looks on a screen (see `render`) and nothing of rules (see `check`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::source::{FileId, Sources, Span};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs before it is gone.
    Error,
    /// It runs, and is probably not what was meant.
    Warning,
}

impl Severity {
    /// The word on the screen and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// The stable name of a kind of finding, and what `explain` says about it.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) name: &'static str,
    pub(crate) explain: &'static str,
}

/// A place that helps to understand a finding.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Label {
    pub(crate) span: Span,
    pub(crate) text: String,
}

/// A finding in a spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) span: Option<Span>,
    pub(crate) label: Option<String>,
    pub(crate) others: Vec<Label>,
    pub(crate) help: Option<String>,
    pub(crate) suggestion: Option<String>,
    /// Whether the line in question must not be shown, because a secret stands in it.
    pub(crate) secret: bool,
}

impl Diagnostic {
    fn new(severity: Severity, code: &Code, span: Option<Span>, message: String) -> Self {
        let (label, help, suggestion) = (None, None, None);
        Self {
            code: code.name,
            severity,
            message,
            span,
            label,
            others: Vec::new(),
            help,
            suggestion,
            secret: false,
        }
    }

    pub(crate) fn error(code: &Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, Some(span), message.into())
    }

    pub(crate) fn warning(code: &Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, Some(span), message.into())
    }

    /// An error about the project as a whole.
    pub(crate) fn nowhere(code: &Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, None, message.into())
    }

    /// What is written below the place itself.
    pub(crate) fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// Another place.
    pub(crate) fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.others.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// The next step.
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// What to write in place of what is there.
    pub(crate) fn suggest(mut self, text: &str) -> Self {
        self.help = Some(format!("did you mean `{text}`?"));
        self.suggestion = Some(text.to_owned());
        self
    }

    /// Keeps the line itself off the screen.
    pub(crate) fn hide_source(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The stable name of its kind.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// How bad it is.
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where we know.
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

/// The lines of a file that a span touches.
type Lines = (FileId, RangeInclusive<usize>);

/// Keeps off the screen what would show a line in which, by another finding, a secret stands. A renderer shows of each
/// file no more than the lines from the first to the last that a finding is about.
fn hide_secrets(found: &mut [Diagnostic], sources: &Sources) {
    let secrets = found.iter().filter(|finding| finding.secret);
    let secrets: Vec<Lines> = secrets
        .filter_map(|finding| lines(finding.span?, sources))
        .collect();
    if secrets.is_empty() {
        return;
    }
    for finding in found {
        let others = finding.others.iter().map(|label| label.span);
        let mut shown: BTreeMap<FileId, RangeInclusive<usize>> = BTreeMap::new();
        let spans = finding.span.into_iter().chain(others);
        for (file, lines) in spans.filter_map(|span| lines(span, sources)) {
            let (first, last) = lines.into_inner();
            let around = shown.get(&file).map_or(first..=last, |before| {
                first.min(*before.start())..=last.max(*before.end())
            });
            shown.insert(file, around);
        }
        finding.secret |= secrets.iter().any(|(file, secret)| {
            shown
                .get(file)
                .is_some_and(|shown| secret.start() <= shown.end() && shown.start() <= secret.end())
        });
    }
}

fn lines(span: Span, sources: &Sources) -> Option<Lines> {
    let source = sources.get(span.file)?;
    let last = span.end.saturating_sub(1).max(span.start);
    let (first, last) = (source.position(span.start), source.position(last));
    Some((span.file, first.line..=last.line))
}

/// All findings of a project, sorted by place, with the texts they are about.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    sources: Arc<Sources>,
}

impl Diagnostics {
    pub(crate) fn new(mut found: Vec<Diagnostic>, sources: Arc<Sources>) -> Self {
        found.sort_by(|a, b| {
            (a.span, a.severity, a.code, &a.message).cmp(&(b.span, b.severity, b.code, &b.message))
        });
        found.dedup_by(|a, b| a.span == b.span && a.code == b.code && a.message == b.message);
        hide_secrets(&mut found, &sources);
        Self { found, sources }
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether something must be corrected before anything runs.
    pub fn has_errors(&self) -> bool {
        self.found
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    /// The findings in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// As a terminal shows them: a block for each, an empty line between.
    pub fn render(&self, colour: bool) -> String {
        crate::render::render(self, colour)
    }

    /// As machines read them.
    pub fn to_json(&self) -> Value {
        self.found
            .iter()
            .map(|finding| self.json_of(finding))
            .collect()
    }

    fn json_of(&self, finding: &Diagnostic) -> Value {
        let mut object = Map::new();
        object.insert("code".into(), finding.code.into());
        object.insert("severity".into(), finding.severity.as_str().into());
        object.insert("message".into(), finding.message.as_str().into());
        self.place(finding.span, &mut object);
        let mut labels = Vec::new();
        let own = finding.span.zip(finding.label.as_ref());
        let own = own.map(|(span, text)| Label {
            span,
            text: text.clone(),
        });
        for label in own.iter().chain(&finding.others) {
            let mut entry = Map::new();
            entry.insert("message".into(), label.text.as_str().into());
            self.place(Some(label.span), &mut entry);
            labels.push(Value::Object(entry));
        }
        object.insert("labels".into(), labels.into());
        object.insert("help".into(), json!(finding.help));
        object.insert("suggestion".into(), json!(finding.suggestion));
        Value::Object(object)
    }

    fn place(&self, span: Option<Span>, object: &mut Map<String, Value>) {
        let place = span.and_then(|span| Some((span, self.sources.get(span.file)?)));
        let (start, end) = match place {
            Some((span, source)) => (
                Some(source.position(span.start)),
                Some(source.position(span.end)),
            ),
            None => (None, None),
        };
        object.insert("file".into(), json!(place.map(|(_, source)| &source.path)));
        object.insert("line".into(), json!(start.map(|position| position.line)));
        object.insert(
            "column".into(),
            json!(start.map(|position| position.column)),
        );
        object.insert("end_line".into(), json!(end.map(|position| position.line)));
        object.insert(
            "end_column".into(),
            json!(end.map(|position| position.column)),
        );
    }
}
