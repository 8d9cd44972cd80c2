//! `lakewright explain`: what a kind of finding means.

use std::fmt::Write as _;

use crate::exit::Failure;
use crate::screen;

/// Explain a kind of finding, or list all kinds
///
/// Each finding of `validate` has a code in brackets: `error[unknown-step]`. This says what it means, why it is not
/// allowed and what to write instead.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright explain unknown-step
  lakewright explain")]
pub(super) struct Explain {
    /// The code, without brackets; all codes are listed when left out
    code: Option<String>,
}

impl Explain {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let Some(code) = self.code else {
            return screen::answer(&list());
        };
        // People copy what they see.
        let code = code
            .trim_start_matches("error")
            .trim_matches(['[', ']', ':']);
        if let Some(text) = spec::explain(code) {
            return screen::answer(&format!("{code}\n\n{}\n", text.trim()));
        }
        let near = spec::nearest(code, spec::codes());
        let help = near.map_or_else(
            || "`lakewright explain` lists all codes".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        Err(Failure::usage(format!("no finding has the code `{code}`")).help(help))
    }
}

fn list() -> String {
    let width = spec::codes().into_iter().map(str::len).max().unwrap_or(0);
    let mut text = String::new();
    for code in spec::codes() {
        let first = spec::explain(code)
            .unwrap_or_default()
            .trim()
            .lines()
            .next()
            .unwrap_or_default();
        let _ = writeln!(text, "{code:<width$}  {first}");
    }
    text
}
