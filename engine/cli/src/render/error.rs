//! Failures: the message, what was being worked on, what caused it, and what to do.

use std::error::Error as StdError;

use connectors::Error;
use spec::Diagnostics;

use super::style::{BAD, FAINT, NOTE, paint};
use crate::exit::Failure;

/// The text of a failure; `None` where there is nothing left to say.
pub(crate) fn failure(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Findings | Failure::Reported | Failure::Unread => None,
        Failure::Interrupted => Some(format!(
            "{}: interrupted; nothing that was not committed is visible",
            paint(BAD, "error")
        )),
        Failure::Usage { message, help } => {
            let mut lines = vec![format!("{}: {message}", paint(BAD, "error"))];
            lines.extend(
                help.as_ref()
                    .map(|help| format!("{}: {help}", paint(NOTE, "help"))),
            );
            Some(lines.join("\n"))
        }
        Failure::Query(found) => Some(findings(found)),
        Failure::World(error) => Some(run::findings(error).map_or_else(|| world(error), findings)),
    }
}

/// What a user wrote wrong, as `validate` shows it.
pub(crate) fn findings(found: &Diagnostics) -> String {
    found.render(true).trim_end().to_owned()
}

/// An error of the world.
pub(crate) fn world(error: &Error) -> String {
    let mut lines = vec![format!("{}: {}", paint(BAD, "error"), error.message())];
    lines.extend(details(error));
    lines.join("\n")
}

/// What follows the message: a line for each thing that was worked on, each cause, and the help.
pub(crate) fn details(error: &Error) -> Vec<String> {
    let mut helps: Vec<String> = error.help_text().map(str::to_owned).into_iter().collect();
    let mut lines: Vec<String> = context(error).collect();
    let mut cause = error.source();
    let mut said = error.message().to_owned();
    while let Some(error) = cause {
        let ours = error.downcast_ref::<Error>();
        let text = ours.map_or_else(|| error.to_string(), |ours| ours.message().to_owned());
        // Wrappers that repeat what they wrap have told it already.
        if !said.contains(text.as_str()) {
            let indented = text.trim_end().replace('\n', "\n             ");
            lines.push(format!("  {}: {indented}", paint(FAINT, "caused by")));
        }
        if let Some(ours) = ours {
            lines.extend(context(ours));
            helps.extend(ours.help_text().map(str::to_owned));
        }
        said = text;
        cause = error.source();
    }
    lines.extend(
        helps
            .iter()
            .map(|help| format!("{}: {help}", paint(NOTE, "help"))),
    );
    lines
}

fn context(error: &Error) -> impl Iterator<Item = String> {
    error
        .context()
        .iter()
        .map(|(key, value)| format!("  {}: {value}", paint(FAINT, key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use connectors::ErrorKind;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn causes_and_help_are_told_once() {
        let cause = std::io::Error::other("connection refused");
        let inner = Error::new(ErrorKind::Unavailable, "no answer")
            .with("host", "db")
            .help("start it")
            .caused_by(cause);
        let outer = Error::new(ErrorKind::Unavailable, "`shop` cannot be read")
            .with("step", "orders")
            .caused_by(inner);
        let expected = "error: `shop` cannot be read\n  step: orders\n  caused by: no answer\n  host: db\n  \
                        caused by: connection refused\nhelp: start it";
        assert_eq!(plain(&world(&outer)), expected);
    }
}
