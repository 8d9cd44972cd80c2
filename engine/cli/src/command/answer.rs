//! Where a command's rows go and how they are written: the arguments that `query` and `diff` have in common.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use crate::destination::Destination;
use crate::exit::Failure;
use crate::export::Form;
use crate::screen;

/// Where rows go.
#[derive(clap::Args)]
pub(super) struct AnswerTo {
    /// How rows are written: lined up for people, or as CSV, one JSON object a line, Parquet. With --out it follows
    /// from the file's name
    #[arg(long)]
    format: Option<Format>,

    /// Write all rows to this file, which appears when it is whole
    #[arg(long, visible_alias = "output", value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
    Parquet,
}

impl AnswerTo {
    /// How rows are exported; `None` where they are lined up for people.
    pub(super) fn form(&self) -> Result<Option<Form>, Failure> {
        let extension = self.out.as_deref().and_then(Path::extension);
        let format = self
            .format
            .unwrap_or(match extension.and_then(std::ffi::OsStr::to_str) {
                Some("csv") => Format::Csv,
                Some("json" | "ndjson" | "jsonl") => Format::Json,
                Some("parquet") => Format::Parquet,
                _ => Format::Table,
            });
        Ok(match format {
            Format::Table => None,
            Format::Csv => Some(Form::Csv),
            Format::Json => Some(Form::Json),
            Format::Parquet if self.out.is_none() && std::io::stdout().is_terminal() => {
                return Err(Failure::usage("Parquet is not for a terminal")
                    .help("name a file with `--out FILE`"));
            }
            Format::Parquet => Some(Form::Parquet),
        })
    }

    /// The file to write to, or stdout.
    pub(super) fn out(&self) -> Option<&Path> {
        self.out.as_deref()
    }

    /// Gives an answer that people read; a file gets it without colours.
    pub(super) fn give(&self, text: &str) -> Result<(), Failure> {
        if self.out.is_none() {
            return screen::answer(text);
        }
        let (destination, mut to) = Destination::open(self.out())?;
        let plain = anstream::adapter::strip_str(text).to_string();
        to.write_all(plain.as_bytes())
            .and_then(|()| to.flush())
            .map_err(screen::unwritten)?;
        destination.complete()?;
        Ok(())
    }
}
