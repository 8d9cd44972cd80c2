//! `lakewright connectors`: the systems that can be read and written.

use connectors::registry::{self, AnyConnector};
use connectors::{Incremental, SinkCapability, SourceCapability};

use crate::exit::Failure;
use crate::render::style::{STRONG, paint};
use crate::render::table::{Align, Columns};
use crate::screen;

/// List the kinds of system that can be read and written, and what each can do
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright connectors
  lakewright schema connection     the options of each, for editors")]
pub(super) struct Connectors;

impl Connectors {
    pub(super) fn execute() -> Result<(), Failure> {
        let mut columns = Columns::new(vec![Align::Left; 3]);
        columns.row(
            ["connector", "reads", "writes"]
                .map(|title| paint(STRONG, title))
                .to_vec(),
        );
        for connector in registry::all() {
            columns.row(row(*connector));
        }
        screen::answer(&columns.text())
    }
}

fn row(connector: &dyn AnyConnector) -> Vec<String> {
    let capability = connector.capability();
    let reads = capability.source.map_or_else(|| "-".to_owned(), reads);
    let writes = capability.sink.map_or_else(|| "-".to_owned(), writes);
    vec![connector.kind().to_owned(), reads, writes]
}

fn reads(source: SourceCapability) -> String {
    let incremental = match source.incremental {
        Incremental::No => None,
        Incremental::Column => Some("incremental by column"),
        Incremental::Files => Some("incremental by files"),
    };
    let changes = source.changes.then_some("change tracking");
    let queries = source.queries.then_some("queries");
    [Some("full"), incremental, changes, queries]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

fn writes(sink: SinkCapability) -> String {
    let modes = [
        (sink.append, "append"),
        (sink.replace, "replace"),
        (sink.merge, "merge"),
    ];
    modes
        .iter()
        .filter(|(can, _)| *can)
        .map(|(_, mode)| *mode)
        .collect::<Vec<_>>()
        .join(", ")
}
