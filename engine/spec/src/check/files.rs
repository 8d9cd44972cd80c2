//! `missing-file`: text that stands in a `.sql` file beside a spec.

use std::path::Path;

use super::step::Steps;
use crate::diagnostic::{Code, Diagnostic};
use crate::read::{At, nearest};
use crate::text::Text;

pub(crate) const MISSING_FILE: Code = Code {
    name: "missing-file",
    explain: "`file:` names a `.sql` file that is not there. Paths are relative to the file they are written in, with `/` \
              between the parts, and stay inside the project's folder.",
};

/// The folder of the spec that is being checked.
fn folder<'a>(steps: &Steps<'a>) -> &'a str {
    let source = steps.context.sources.get(steps.doc.file);
    source
        .and_then(|source| source.path.rsplit_once('/'))
        .map_or("", |(folder, _)| folder)
}

/// The text of a file, where there is such a file.
pub(super) fn find<'a>(steps: &Steps<'a>, path: &str) -> Option<&'a str> {
    let path = resolve(folder(steps), path)?;
    steps
        .context
        .sources
        .find(&path)
        .map(|(_, source)| source.text.as_str())
}

/// The text of a file; `None` with a finding.
pub(super) fn file(steps: &Steps<'_>, written: &At<String>) -> Option<Text> {
    let sources = steps.context.sources;
    let folder = folder(steps);
    let path = resolve(folder, written);
    if let Some((id, source)) = path.as_ref().and_then(|path| sources.find(path)) {
        return Some(Text::of_file(id, source));
    }
    let Some(path) = path else {
        let message = format!("`{}` is outside the project's folder", written.value);
        steps.context.report(
            Diagnostic::error(&MISSING_FILE, written.span, message)
                .help("keep the file in the project; the path is relative to this file"),
        );
        return None;
    };
    let message = format!("there is no file `{path}`");
    let finding = Diagnostic::error(&MISSING_FILE, written.span, message);
    let near = nearest(&path, sources.paths().filter(|path| is_sql(path)));
    let near = near.map(|near| {
        near.strip_prefix(folder)
            .unwrap_or(near)
            .trim_start_matches('/')
    });
    steps.context.report(match near {
        Some(near) => finding.suggest(near),
        None => finding.help("the path is relative to this file and ends in `.sql`"),
    });
    None
}

fn is_sql(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "sql")
}

/// A path relative to a folder; `None` where it leaves the project's folder.
fn resolve(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(
            resolve("a/b", "sql/x.sql").as_deref(),
            Some("a/b/sql/x.sql")
        );
        assert_eq!(resolve("a/b", "../x.sql").as_deref(), Some("a/x.sql"));
        assert_eq!(resolve("", "../x.sql"), None);
        assert_eq!(resolve("a", "/x.sql"), None);
    }
}
