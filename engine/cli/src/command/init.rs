//! `lakewright init`: a project that runs, to start from.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use connectors::{Error, ErrorKind};

use crate::exit::Failure;
use crate::screen;

/// Write a project that runs, to start from
///
/// Two pipelines over a few orders in CSV files: one publishes them as an Iceberg table, one computes another table from
/// it. No service is needed. Files that are there already are never overwritten.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright init shop
  lakewright run --project shop --all
  lakewright query --project shop 'select * from sales.daily order by day, region'")]
pub(super) struct Init {
    /// The folder of the project; it is made when it is not there
    dir: PathBuf,
}

/// Path and text of every file.
macro_rules! template {
    ($($path:literal from $file:literal)*) => {
        &[$(($path, include_str!(concat!("../../template/", $file)))),*]
    };
}

const FILES: &[(&str, &str)] = template! {
    ".gitignore" from "gitignore"
    "project.yaml" from "project.yaml"
    "connections/files.yaml" from "connections/files.yaml"
    "domains/sales/domain.yaml" from "domains/sales/domain.yaml"
    "domains/sales/pipelines/orders.yaml" from "domains/sales/pipelines/orders.yaml"
    "domains/sales/pipelines/daily.yaml" from "domains/sales/pipelines/daily.yaml"
    "domains/sales/pipelines/daily.sql" from "domains/sales/pipelines/daily.sql"
    "data/orders/2026-01.csv" from "data/orders/2026-01.csv"
    "data/orders/2026-02.csv" from "data/orders/2026-02.csv"
};

impl Init {
    pub(super) fn execute(self) -> Result<(), Failure> {
        // All or nothing: a folder with half a project in it helps nobody.
        if let Some((taken, _)) = FILES.iter().find(|(path, _)| self.dir.join(path).exists()) {
            let message = format!("`{}` is there already", self.dir.join(taken).display());
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .help("name a folder without a project")
                .into());
        }
        for (path, text) in FILES {
            let path = self.dir.join(path);
            write(&path, text).map_err(|error| {
                Error::new(ErrorKind::Unavailable, "the project cannot be written")
                    .with("file", path.display())
                    .caused_by(error)
            })?;
        }
        screen::answer(&self.next())
    }

    fn next(&self) -> String {
        let dir = self.dir.display();
        let written: Vec<String> = FILES
            .iter()
            .map(|(path, _)| format!("  {path}\n"))
            .collect();
        format!(
            "wrote {} files to {dir}\n{}\nNext:\n  cd {dir}\n  lakewright validate\n  lakewright plan sales/orders\n  \
             lakewright run --all\n  lakewright query 'select * from sales.daily order by day, region'\n",
            FILES.len(),
            written.concat(),
        )
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // `create_new`, should another process have been quicker than the look before.
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}
