//! How findings look on a terminal. The only file that knows the renderer.

use std::collections::BTreeMap;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::source::{FileId, Source, Sources, Span};

/// How wide lines may be before the renderer cuts them.
const WIDTH: usize = 140;

pub(crate) fn render(diagnostics: &Diagnostics, colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .term_width(WIDTH);
    let mut out = String::new();
    for finding in diagnostics.iter() {
        let sources = diagnostics.sources();
        let block = renderer.render(&[group(finding, sources)]);
        match hidden_line(finding, sources) {
            Some(line) => indent_place(&block, line, &mut out),
            None => out.push_str(&block),
        }
        out.push('\n');
        if let Some(help) = &finding.help {
            let title = Level::HELP.primary_title(help.as_str());
            out.push_str(&renderer.render(&[Group::with_title(title)]));
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

/// The line of a finding whose source is not shown.
fn hidden_line(finding: &Diagnostic, sources: &Sources) -> Option<usize> {
    let span = finding.span.filter(|_| finding.secret)?;
    Some(sources.get(span.file)?.position(span.start).line)
}

/// Puts the place where it would stand if there were a line below it: the renderer makes room for a line's number only
/// where it shows one.
fn indent_place(block: &str, line: usize, out: &mut String) {
    let Some((title, place)) = block.rsplit_once('\n') else {
        out.push_str(block);
        return;
    };
    let digits = line.to_string().len();
    out.push_str(title);
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', digits));
    out.push_str(place);
}

fn group<'a>(finding: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level
        .primary_title(finding.message.as_str())
        .id(finding.code)
        .elements(Vec::<Origin<'a>>::new());
    let place = finding
        .span
        .and_then(|span| Some((span, sources.get(span.file)?)));
    let Some((span, source)) = place else {
        return group;
    };
    if finding.secret {
        let position = source.position(span.start);
        let origin = Origin::path(source.path.as_str())
            .line(position.line)
            .char_column(position.column);
        return group.element(origin);
    }
    let mut primary = AnnotationKind::Primary.span(range(source, span));
    if let Some(label) = &finding.label {
        primary = primary.label(label.as_str());
    }
    let mut snippets = BTreeMap::new();
    let first = snippet(source).annotation(primary);
    snippets.insert(span.file, first);
    let mut order = vec![span.file];
    for label in &finding.others {
        let Some(source) = sources.get(label.span.file) else {
            continue;
        };
        let annotation = AnnotationKind::Context
            .span(range(source, label.span))
            .label(label.text.as_str());
        let file: FileId = label.span.file;
        let snippet = snippets.remove(&file).unwrap_or_else(|| {
            order.push(file);
            snippet(source)
        });
        snippets.insert(file, snippet.annotation(annotation));
    }
    for file in order {
        if let Some(snippet) = snippets.remove(&file) {
            group = group.element(snippet);
        }
    }
    group
}

fn snippet(source: &Source) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    Snippet::source(source.text.as_str()).path(source.path.as_str())
}

/// The bytes of a span, on character borders and inside the text.
fn range(source: &Source, span: Span) -> std::ops::Range<usize> {
    let text = &source.text;
    let mut start = (span.start as usize).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (span.end as usize).clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}
