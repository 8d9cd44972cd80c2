//! Arguments that may stand before the command as well as after it: `lakewright --project clinic run …`.
//!
//! clap takes an argument anywhere once the root knows it too. Knows which arguments these are; what they do is said where
//! commands use them.

use clap::{Arg, Args, Command};

use super::project::{ProjectArguments, memory};

/// Commands that are about no project: they take these arguments, for whoever writes them always, and do not show them.
const WITHOUT_PROJECT: [&str; 4] = ["init", "explain", "schema", "connectors"];

/// The root command, which takes the arguments of its commands too.
pub(super) fn taken_anywhere(mut command: Command) -> Command {
    for name in WITHOUT_PROJECT {
        command = command.mut_subcommand(name, |command| command.args(hidden()));
    }
    // Not shown at the root, since few commands compute: `help run` and `help query` say what it means.
    let memory = Arg::new("memory")
        .long("memory")
        .global(true)
        .hide(true)
        .value_name("SIZE")
        .value_parser(memory);
    ProjectArguments::augment_args(command).arg(memory)
}

fn hidden() -> Vec<Arg> {
    let arguments = ProjectArguments::augment_args(Command::new("hidden"));
    arguments
        .get_arguments()
        .map(|argument| argument.clone().hide(true))
        .collect()
}
