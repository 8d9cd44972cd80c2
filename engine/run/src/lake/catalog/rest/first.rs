//! The first commit to a table on a server that neither stages tables nor makes one by a commit.
//!
//! The table is made, gets its rows at once, and is dropped again when it cannot have them: for that moment others see
//! it empty. Knows nothing of why a commit is made.

use std::sync::Arc;

use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{MAIN_BRANCH, TableMetadata};
use iceberg::{TableRequirement, TableUpdate};
use iceberg_catalog_rest::CommitTableRequest;

use super::create::Creation;
use super::{CommitError, Loaded, RestCatalog, outcome};
use crate::lake::catalog::Catalog;
use crate::lake::id::TableId;

/// How often rows are sent to the table that was made for them.
const TRIES: usize = 4;

impl RestCatalog {
    /// Makes the table and commits to it. `body` is the commit without what makes the table.
    pub(super) async fn make_and_commit(
        &self,
        id: &TableId,
        wanted: &TableMetadata,
        mut body: CommitTableRequest,
    ) -> Result<(), CommitError> {
        let (client, stages) = (Arc::clone(&self.client), Arc::clone(&self.stages));
        let creation = Creation::of(client, stages, id, wanted);
        let made = self.make(id, &creation).await?;
        body.requirements = vec![
            TableRequirement::UuidMatch { uuid: made.uuid() },
            TableRequirement::RefSnapshotIdMatch {
                r#ref: MAIN_BRANCH.to_owned(),
                snapshot_id: None,
            },
        ];
        let done = match creation.check(&made, wanted) {
            Ok(()) => self.fill(id, &body).await,
            Err(error) => Err(CommitError::Failed(error)),
        };
        if matches!(done, Err(CommitError::Failed(_) | CommitError::Conflict(_)))
            && let Err(error) = creation.withdraw(made.uuid()).await
        {
            tracing::warn!(table = %id, ?error, "an empty table stays behind");
        }
        done
    }

    async fn make(&self, id: &TableId, creation: &Creation) -> Result<TableMetadata, CommitError> {
        let refused = "the catalog does not make the table";
        let read = match creation.make().await {
            Ok(answer) if answer.status.is_server_error() => Err(answer.refusal(refused)),
            Ok(answer) => return made(id, Loaded::read(&answer, refused)),
            Err(error) if error.kind() == ErrorKind::CommitUnknown => Err(error),
            Err(error) => return made(id, Err(error)),
        };
        // It may have been made although the answer does not say so. Its place tells whether it is ours.
        match self.load(id).await {
            Ok(Some(table)) if creation.is_at(table.metadata().location()) => {
                Ok(table.metadata().clone())
            }
            _ => made(id, read),
        }
    }

    /// Commits to a table that has no rows yet, until it is known whether that happened.
    async fn fill(&self, id: &TableId, body: &CommitTableRequest) -> Result<(), CommitError> {
        let ours = body.updates.iter().find_map(|update| match update {
            TableUpdate::AddSnapshot { snapshot } => Some(snapshot.snapshot_id()),
            _ => None,
        });
        let mut last = None;
        for _ in 0..TRIES {
            let done = match self.send(id, body).await {
                Ok(answer) => outcome(id, &answer),
                Err(error) => Err(error),
            };
            let Err(CommitError::Unknown(error)) = done else {
                return done;
            };
            let now = self.load(id).await.map_err(CommitError::Unknown)?;
            let metadata = now.as_ref().map(iceberg::table::Table::metadata);
            let there = ours.and_then(|ours| metadata?.snapshot_by_id(ours));
            if there.is_some() {
                return Ok(());
            }
            last = Some(error);
        }
        Err(CommitError::Unknown(last.unwrap_or_else(|| {
            Error::new(
                ErrorKind::CommitUnknown,
                "the reply of the catalog was lost",
            )
        })))
    }
}

/// The metadata of a table that was made. Where it was not, nothing was committed either.
fn made(id: &TableId, read: Result<Loaded>) -> Result<TableMetadata, CommitError> {
    match read {
        Ok(made) => Ok(made.metadata),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            Err(CommitError::Conflict(error.with("table", id)))
        }
        Err(error) => Err(CommitError::Failed(error.with("table", id))),
    }
}
