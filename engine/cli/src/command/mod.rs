//! The command line: one file a command.
//!
//! Knows arguments and which command they mean; what a command does is in its file.

mod abandon;
mod answer;
mod anywhere;
mod connectors;
mod daemon;
mod diff;
mod doctor;
mod explain;
mod format;
mod groups;
mod history;
mod init;
mod maintain;
mod plan;
mod project;
mod query;
mod rollback;
mod run;
mod runs;
mod schema;
mod status;
mod tag;
mod trigger;
mod validate;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use indicatif::{MultiProgress, ProgressDrawTarget};

pub(crate) use self::maintain::Outcome;
use crate::exit::{CODES, Failure};
use crate::logging::{self, LogFormat};
use crate::screen;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default())
    .valid(AnsiColor::Green.on_default())
    .invalid(AnsiColor::Yellow.on_default());

/// Turns a folder of YAML specs into Apache Iceberg tables.
///
/// A project is a folder of specs: connections to other systems, and pipelines that read them, transform with SQL and
/// publish tables, exactly once. `lakewright init shop` writes one that runs.
#[derive(Parser)]
#[command(name = "lakewright", bin_name = "lakewright", version, after_help = CODES, styles = STYLES, max_term_width = 110)]
#[command(
    disable_help_subcommand = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    output: Output,
}

/// How much is said, and how.
#[derive(clap::Args)]
#[command(next_help_heading = "Logs")]
struct Output {
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    #[arg(
        help = "Say more on stderr: -v what happens, -vv how, -vvv everything; LAKEWRIGHT_LOG chooses finer"
    )]
    verbose: u8,

    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    #[arg(help = "How logs and progress are written on stderr: text or json")]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Init),
    Validate(validate::Validate),
    Explain(explain::Explain),
    Schema(schema::Schema),
    Connectors(connectors::Connectors),
    Plan(plan::Plan),
    Run(run::Run),
    Runs(runs::Runs),
    Daemon(daemon::Daemon),
    Status(status::Status),
    Trigger(trigger::Trigger),
    Pause(trigger::Pause),
    Resume(trigger::Resume),
    Query(query::Query),
    History(history::History),
    Diff(diff::Diff),
    Tag(tag::Tag),
    Rollback(rollback::Rollback),
    Maintain(maintain::Maintain),
    Doctor(doctor::Doctor),
}

/// What every command gets beside its own arguments.
struct Surroundings {
    bars: MultiProgress,
    log_format: LogFormat,
}

/// One call of the program.
pub(crate) struct Invocation {
    arguments: Arguments,
}

impl Invocation {
    /// Reads the arguments of the process; leaves with code 2 where they are wrong, with 0 after `--help`.
    pub(crate) fn from_arguments() -> Self {
        let matches = command().get_matches();
        match Arguments::from_arg_matches(&matches) {
            Ok(arguments) => Self { arguments },
            Err(error) => error.exit(),
        }
    }

    /// Does what was asked.
    pub(crate) async fn execute(self) -> Result<(), Failure> {
        let Output {
            verbose,
            log_format,
        } = self.arguments.output;
        let bars = MultiProgress::new();
        if !screen::is_watched() || log_format == LogFormat::Json {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        let followed = matches!(self.arguments.command, Command::Daemon(_));
        logging::start(log_format, verbose, followed, &bars);
        let surroundings = Surroundings { bars, log_format };
        match self.arguments.command {
            Command::Init(init) => init.execute(),
            Command::Validate(validate) => validate.execute(),
            Command::Explain(explain) => explain.execute(),
            Command::Schema(schema) => schema.execute(),
            Command::Connectors(_) => connectors::Connectors::execute(),
            Command::Plan(plan) => plan.execute().await,
            Command::Run(run) => run.execute(surroundings).await,
            Command::Runs(runs) => runs.execute().await,
            Command::Daemon(daemon) => daemon.execute().await,
            Command::Status(status) => status.execute().await,
            Command::Trigger(trigger) => trigger.execute().await,
            Command::Pause(pause) => pause.execute().await,
            Command::Resume(resume) => resume.execute().await,
            Command::Query(query) => query.execute().await,
            Command::History(history) => history.execute().await,
            Command::Diff(diff) => diff.execute().await,
            Command::Tag(tag) => tag.execute().await,
            Command::Rollback(rollback) => rollback.execute().await,
            Command::Maintain(maintain) => maintain.execute().await,
            Command::Doctor(doctor) => doctor.execute().await,
        }
    }
}

/// Everything that can be written on the command line.
fn command() -> clap::Command {
    groups::grouped(anywhere::taken_anywhere(Arguments::command()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_command_is_in_a_group() {
        let command = command();
        let help = groups::text(&command);
        for subcommand in command.get_subcommands() {
            assert!(
                help.contains(subcommand.get_name()),
                "{} is in no group",
                subcommand.get_name()
            );
        }
    }

    #[test]
    fn a_project_may_be_named_before_the_command_and_after_it() {
        for line in [
            "lakewright --project shop --env prod --memory 1GiB run sales/orders",
            "lakewright run sales/orders --memory 1GiB --project shop --env prod",
            "lakewright --project shop run --env prod sales/orders --memory 1GiB",
        ] {
            let matches = command().try_get_matches_from(line.split(' ')).unwrap();
            let Command::Run(run) = Arguments::from_arg_matches(&matches).unwrap().command else {
                unreachable!("`run` was written");
            };
            assert_eq!(run.project.project.to_str(), Some("shop"), "{line}");
            assert_eq!(run.project.env.as_deref(), Some("prod"), "{line}");
            assert_eq!(run.memory, 1 << 30, "{line}");
        }
        let matches =
            command().try_get_matches_from("lakewright --project shop runs abandon 7".split(' '));
        let Command::Runs(runs) = Arguments::from_arg_matches(&matches.unwrap())
            .unwrap()
            .command
        else {
            unreachable!("`runs` was written");
        };
        assert_eq!(runs.project.project.to_str(), Some("shop"));
    }

    #[test]
    fn commands_without_a_project_do_not_show_one() {
        for (name, shows) in [
            ("run", true),
            ("query", true),
            ("init", false),
            ("explain", false),
        ] {
            let mut command = command();
            let help = command
                .find_subcommand_mut(name)
                .unwrap()
                .render_long_help()
                .to_string();
            assert_eq!(help.contains("--project <DIR>"), shows, "{help}");
        }
    }
}
