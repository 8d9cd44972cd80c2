//! A catalog in two SQL tables, the same ones that `PyIceberg` and Java's JDBC catalog use.
//!
//! The database holds one pointer a table; metadata files are written beside the data, each under a new name, and are
//! never changed. Knows nothing of which database it is: that is [`Pointers`].

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use connectors::{Error, ErrorKind, Fence, Result};
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;
use iceberg::table::Table;
use iceberg::{MetadataLocation, TableCreation};

use super::{Catalog, Change, CommitError, Draft, table};
use crate::failpoint::{self, Point};
use crate::lake::failure::failed;
use crate::lake::id::TableId;
use crate::lake::storage::Warehouse;

/// The tables, as `PyIceberg` makes them.
pub(super) const CREATE_TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS iceberg_tables (
        catalog_name VARCHAR(255) NOT NULL,
        table_namespace VARCHAR(255) NOT NULL,
        table_name VARCHAR(255) NOT NULL,
        metadata_location VARCHAR(1000),
        previous_metadata_location VARCHAR(1000),
        iceberg_type VARCHAR(5),
        PRIMARY KEY (catalog_name, table_namespace, table_name))",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
        catalog_name VARCHAR(255) NOT NULL,
        namespace VARCHAR(255) NOT NULL,
        property_key VARCHAR(255) NOT NULL,
        property_value VARCHAR(1000) NOT NULL,
        PRIMARY KEY (catalog_name, namespace, property_key))",
];
/// The table of who may change something, beside them: of each name the highest token that was seen.
pub(super) const CREATE_FENCES: &str = "CREATE TABLE IF NOT EXISTS lakewright_fences (
        giver VARCHAR(64) NOT NULL,
        name VARCHAR(300) NOT NULL,
        token BIGINT NOT NULL,
        PRIMARY KEY (giver, name))";
/// Holds a fence until the transaction ends; no row where a higher token was seen.
pub(super) const HOLD: &str = "INSERT INTO lakewright_fences AS f (giver, name, token)
    VALUES ($1, $2, $3)
    ON CONFLICT (giver, name) DO UPDATE SET token = excluded.token WHERE f.token <= excluded.token";
/// All tables of a catalog.
pub(super) const LIST: &str = "SELECT table_namespace, table_name FROM iceberg_tables
    WHERE catalog_name = $1 AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)
    ORDER BY table_namespace, table_name";
/// The pointer of a table.
pub(super) const FIND: &str = "SELECT metadata_location FROM iceberg_tables
    WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3
    AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";
/// Makes a namespace known.
pub(super) const ADD_NAMESPACE: &str = "INSERT INTO iceberg_namespace_properties
    (catalog_name, namespace, property_key, property_value) VALUES ($1, $2, 'exists', 'true')
    ON CONFLICT DO NOTHING";
/// Makes a table visible.
pub(super) const INSERT: &str = "INSERT INTO iceberg_tables
    (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
    VALUES ($1, $2, $3, $4, NULL, 'TABLE') ON CONFLICT DO NOTHING";
/// Moves a pointer, if it is where we think it is.
pub(super) const SWAP: &str = "UPDATE iceberg_tables
    SET metadata_location = $4, previous_metadata_location = $5
    WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3 AND metadata_location = $5";

/// Why a statement that moves a pointer did not answer.
pub(super) enum MoveError {
    /// The database refused it whole, because of somebody else's at the same time.
    Refused(Error),
    /// It did not happen, and will not.
    NotSent(Error),
    /// It was asked and the reply was lost.
    Unknown(Error),
}

impl MoveError {
    /// Somebody has been given a higher token.
    pub(super) fn fenced(fence: &Fence) -> Self {
        let message = format!("another process has taken `{}` over", fence.name);
        let error = Error::new(ErrorKind::Conflict, message)
            .help("nothing was committed: that process goes on with the run")
            .retry(false);
        Self::NotSent(error)
    }

    fn into_error(self) -> Error {
        let (Self::Refused(error) | Self::NotSent(error) | Self::Unknown(error)) = self;
        error
    }
}

/// Where a pointer goes.
pub(super) struct Move<'a> {
    /// The table.
    pub(super) id: &'a TableId,
    /// Where it is; nowhere for a table that is not there.
    pub(super) old: Option<String>,
    /// Where it is to be.
    pub(super) new: String,
}

/// The pointers in one kind of database.
#[async_trait]
pub(super) trait Pointers: Send + Sync {
    /// The namespace and name of every table, sorted.
    async fn list(&self) -> Result<Vec<(String, String)>>;

    /// Where a table's metadata is.
    async fn find(&self, id: &TableId) -> Result<Option<String>>;

    /// Moves pointers, all or none, holding the fences in the same transaction; false where one is not where it was
    /// thought to be.
    async fn shift(&self, moves: &[Move<'_>], fences: &[Fence]) -> Result<bool, MoveError>;

    /// Asks whether the database is there and what it is.
    async fn probe(&self) -> Result<String>;

    /// Ends all connections.
    async fn close(&self);
}

/// The catalog over some database.
pub(super) struct SqlCatalog {
    pointers: Box<dyn Pointers>,
    warehouse: Arc<Warehouse>,
}

impl SqlCatalog {
    /// A catalog over this database.
    pub(super) fn new(pointers: Box<dyn Pointers>, warehouse: Arc<Warehouse>) -> Self {
        Self {
            pointers,
            warehouse,
        }
    }
}

#[async_trait]
impl Catalog for SqlCatalog {
    async fn tables(&self) -> Result<Vec<TableId>> {
        let rows = self.pointers.list().await?;
        Ok(rows
            .into_iter()
            .map(|(namespace, name)| TableId { namespace, name })
            .collect())
    }

    async fn load(&self, id: &TableId) -> Result<Option<Table>> {
        let Some(location) = self.pointers.find(id).await? else {
            return Ok(None);
        };
        let file_io = self.warehouse.file_io();
        let metadata = TableMetadata::read_from(&file_io, &location)
            .await
            .map_err(|error| {
                failed("the metadata of a table cannot be read")(error)
                    .with("table", id)
                    .with("metadata", &location)
            })?;
        table(id, file_io, Some(location), metadata).map(Some)
    }

    async fn draft(&self, id: &TableId, creation: TableCreation) -> Result<Draft> {
        Draft::chosen(id, creation, &self.warehouse)
    }

    async fn commit(&self, change: Change<'_>) -> Result<(), CommitError> {
        self.commit_together(vec![change]).await
    }

    async fn commit_together(&self, mut changes: Vec<Change<'_>>) -> Result<(), CommitError> {
        // Two that change the same tables do not wait for each other in a circle.
        changes.sort_by_key(|change| change.id);
        let fences: BTreeSet<&Fence> = changes.iter().flat_map(|change| change.fences).collect();
        let fences: Vec<Fence> = fences.into_iter().cloned().collect();
        let mut written = Vec::with_capacity(changes.len());
        let mut moves = Vec::with_capacity(changes.len());
        for change in &changes {
            match write(change).await {
                Ok(to) => {
                    written.push((change.file_io, to.new.clone()));
                    moves.push(to);
                }
                Err(error) => {
                    remove(&written).await;
                    return Err(CommitError::Failed(error));
                }
            }
        }
        failpoint::before(Point::CommitSwap)
            .await
            .map_err(CommitError::Failed)?;
        let shifted = self.pointers.shift(&moves, &fences).await;
        failpoint::after(Point::CommitSwap)
            .await
            .map_err(CommitError::Unknown)?;
        let error = match shifted {
            Ok(true) => return Ok(()),
            Ok(false) => {
                let tables: Vec<String> = moves.iter().map(|to| to.id.to_string()).collect();
                let message = match tables.as_slice() {
                    [_] => "the table was changed by somebody else",
                    _ => "one of the tables was changed by somebody else",
                };
                let error = Error::new(ErrorKind::Conflict, message);
                CommitError::Conflict(error.with("table", tables.join(", ")))
            }
            Err(MoveError::Refused(error)) => CommitError::Conflict(error),
            Err(MoveError::NotSent(error)) => CommitError::Failed(error),
            // The metadata files stay: the pointers may be at them.
            Err(MoveError::Unknown(error)) => return Err(CommitError::Unknown(error)),
        };
        remove(&written).await;
        Err(error)
    }

    async fn commits_together(&self, _: bool) -> Result<bool> {
        Ok(true)
    }

    async fn raise(&self, fences: &[Fence]) -> Result<()> {
        let raised = self.pointers.shift(&[], fences).await;
        raised.map(drop).map_err(MoveError::into_error)
    }

    async fn probe(&self) -> Result<String> {
        self.pointers.probe().await
    }

    async fn close(&self) {
        self.pointers.close().await;
    }
}

/// Writes the metadata of a table after a change; where its pointer is to go.
async fn write<'a>(change: &Change<'a>) -> Result<Move<'a>> {
    let old = change.base.and_then(Table::metadata_location);
    let old = old.map(str::to_owned);
    let (metadata, location) = next(change, old.clone()).map_err(|error| {
        failed("the change does not fit the table")(error).with("table", change.id)
    })?;
    failpoint::before(Point::CommitMetadata).await?;
    metadata
        .write_to(change.file_io, &location)
        .await
        .map_err(|error| {
            failed("the metadata of a table cannot be written")(error).with("table", change.id)
        })?;
    failpoint::after(Point::CommitMetadata).await?;
    Ok(Move {
        id: change.id,
        old,
        new: location.to_string(),
    })
}

/// Removes metadata that no pointer is at.
async fn remove(written: &[(&FileIO, String)]) {
    for (file_io, file) in written {
        if let Err(error) = file_io.delete(file).await {
            tracing::debug!(file, %error, "an unused metadata file stays behind");
        }
    }
}

/// The metadata after a change, and the name of its file.
fn next(
    change: &Change<'_>,
    old: Option<String>,
) -> iceberg::Result<(TableMetadata, MetadataLocation)> {
    let before = change.base.map_or(change.initial, |base| base.metadata());
    for requirement in &change.requirements {
        requirement.check(change.base.map(Table::metadata))?;
    }
    let mut builder = before.clone().into_builder(old.clone());
    for update in &change.updates {
        builder = update.clone().apply(builder)?;
    }
    let metadata = builder.build()?.metadata;
    let location = match old {
        Some(old) => MetadataLocation::from_str(&old)?
            .with_next_version()
            .with_new_metadata(&metadata),
        None => MetadataLocation::new_with_metadata(metadata.location(), &metadata),
    };
    Ok((metadata, location))
}
