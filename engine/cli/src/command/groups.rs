//! The commands in groups, as `lakewright help` shows them: clap knows only one flat list.

use std::fmt::Write as _;

use clap::Command;

use super::STYLES;

const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Write specs",
        &["init", "validate", "explain", "schema", "connectors"],
    ),
    ("Run pipelines", &["plan", "run", "runs"]),
    (
        "Run them by schedule",
        &["daemon", "status", "trigger", "pause", "resume"],
    ),
    (
        "Look at tables, and take care of them",
        &["query", "history", "diff", "tag", "rollback", "maintain"],
    ),
    ("Look around", &["doctor", "help"]),
];

/// The command with its list of subcommands in groups.
pub(super) fn grouped(mut command: Command) -> Command {
    command.build();
    let list = text(&command);
    let header = STYLES.get_header();
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

/// The groups, each command with the first line of what it says about itself.
pub(super) fn text(command: &Command) -> String {
    let (header, literal) = (STYLES.get_header(), STYLES.get_literal());
    let mut text = String::new();
    for (title, names) in GROUPS {
        let _ = writeln!(text, "{header}{title}:{header:#}");
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(Command::get_about)
                .map(ToString::to_string);
            let _ = writeln!(
                text,
                "  {literal}{name:<11}{literal:#} {}",
                about.unwrap_or_default()
            );
        }
        text.push('\n');
    }
    text
}
