//! The loop of a commit against a catalog that loses replies, by script.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use connectors::{Error, ErrorKind, Result};
use iceberg::TableCreation;
use iceberg::io::FileIO;
use iceberg::spec::{NestedField, Operation, PrimitiveType, Schema, TableMetadataBuilder, Type};
use iceberg::table::Table;

use super::{ConflictPolicy, NotCommitted, Part, Removal, SnapshotOp, Target, commit};
use crate::lake::catalog::{Catalog, Change, CommitError, Draft, table};
use crate::lake::history::{self, Stamp};
use crate::lake::id::TableId;

/// What becomes of one commit.
#[derive(Clone, Copy)]
enum Fate {
    Done,
    Refused,
    LostButDone,
    LostAndNotDone,
    /// The reply is lost, and the catalog with it.
    LostForGood,
}

/// A catalog in memory.
struct Scripted {
    fates: Mutex<VecDeque<Fate>>,
    table: Mutex<Option<Table>>,
    gone: AtomicBool,
}

impl Scripted {
    fn new(fates: &[Fate]) -> Self {
        Self {
            fates: Mutex::new(fates.iter().copied().collect()),
            table: Mutex::new(None),
            gone: AtomicBool::new(false),
        }
    }

    fn apply(&self, change: &Change<'_>) {
        let before = change.base.map_or(change.initial, |base| base.metadata());
        let mut builder = before.clone().into_builder(None);
        for update in &change.updates {
            builder = update.clone().apply(builder).unwrap();
        }
        let metadata = builder.build().unwrap().metadata;
        let file_io = change.file_io.clone();
        let place = Some("memory:/t/metadata/00000-x.metadata.json".to_owned());
        *self.table.lock().unwrap() = Some(table(change.id, file_io, place, metadata).unwrap());
    }

    fn snapshots(&self) -> usize {
        let table = self.table.lock().unwrap();
        table
            .as_ref()
            .map_or(0, |table| table.metadata().snapshots().len())
    }
}

#[async_trait]
impl Catalog for Scripted {
    async fn tables(&self) -> Result<Vec<TableId>> {
        Ok(Vec::new())
    }

    async fn load(&self, _: &TableId) -> Result<Option<Table>> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the catalog does not answer",
            ));
        }
        Ok(self.table.lock().unwrap().clone())
    }

    async fn draft(&self, _: &TableId, creation: TableCreation) -> Result<Draft> {
        let built = TableMetadataBuilder::from_table_creation(creation)
            .unwrap()
            .build()
            .unwrap();
        Ok(Draft {
            metadata: built.metadata,
            updates: built.changes,
            file_io: FileIO::new_with_memory(),
        })
    }

    async fn commit_together(&self, _: Vec<Change<'_>>) -> Result<(), CommitError> {
        unreachable!("there is one table")
    }

    async fn commits_together(&self, _: bool) -> Result<bool> {
        Ok(false)
    }

    async fn commit(&self, change: Change<'_>) -> Result<(), CommitError> {
        let lost = || CommitError::Unknown(Error::new(ErrorKind::CommitUnknown, "the line broke"));
        match self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Done) {
            Fate::Done => {
                self.apply(&change);
                Ok(())
            }
            Fate::Refused => Err(CommitError::Conflict(Error::new(
                ErrorKind::Conflict,
                "somebody was first",
            ))),
            Fate::LostButDone => {
                self.apply(&change);
                Err(lost())
            }
            Fate::LostAndNotDone => Err(lost()),
            Fate::LostForGood => {
                self.gone.store(true, Ordering::Relaxed);
                Err(lost())
            }
        }
    }

    async fn probe(&self) -> Result<String> {
        Ok("scripted".to_owned())
    }
}

async fn run(catalog: &Scripted) -> Result<super::Committed, NotCommitted> {
    let id = TableId::new("medicine", "visits");
    let field = NestedField::optional(1, "id", Type::Primitive(PrimitiveType::Long));
    let schema = Schema::builder()
        .with_fields([Arc::new(field)])
        .build()
        .unwrap();
    let creation = TableCreation::builder()
        .name("visits".to_owned())
        .location("memory:/t".to_owned())
        .schema(schema)
        .properties(HashMap::new())
        .build();
    let target = Target::create(id.clone(), catalog.draft(&id, creation).await.unwrap());
    let stamp = Stamp {
        run: "run-1".to_owned(),
        pipeline: "medicine/visits".to_owned(),
        fingerprint: String::new(),
        watermarks: [("visit".to_owned(), "7".to_owned())].into(),
        now_ms: 0,
        fence: None,
    };
    let op = SnapshotOp {
        added_deletes: Vec::new(),
        merging: None,
        operation: Operation::Append,
        added: Vec::new(),
        spec_id: 0,
        removal: Removal::None,
        policy: ConflictPolicy::Rebase,
        properties: stamp.properties(),
        now_ms: stamp.now_ms,
        fence: None,
    };
    let mut parts = [Part::new(target, op, "run-1".to_owned())];
    let done = commit(catalog, &mut parts).await?;
    Ok(done.into_iter().next().unwrap())
}

#[tokio::test]
async fn a_refused_commit_is_tried_again() {
    let catalog = Scripted::new(&[Fate::Refused, Fate::Refused, Fate::Done]);
    let committed = run(&catalog).await.ok().unwrap();
    assert!(!committed.already);
    assert_eq!(catalog.snapshots(), 1);
    let table = catalog.table.lock().unwrap().clone().unwrap();
    let watermark = history::watermark(table.metadata(), "medicine/visits", "visit");
    assert_eq!(watermark.as_deref(), Some("7"));
}

#[tokio::test]
async fn a_lost_reply_to_a_commit_that_happened_is_found_in_the_table() {
    let catalog = Scripted::new(&[Fate::LostButDone]);
    let committed = run(&catalog).await.ok().unwrap();
    assert!(
        !committed.already,
        "it was this very commit: its files are in use"
    );
    assert_eq!(catalog.snapshots(), 1);
}

#[tokio::test]
async fn a_lost_reply_to_a_commit_that_did_not_happen_is_tried_again() {
    let catalog = Scripted::new(&[Fate::LostAndNotDone, Fate::Done]);
    assert!(run(&catalog).await.is_ok());
    assert_eq!(catalog.snapshots(), 1);
}

#[tokio::test]
async fn the_same_run_again_changes_nothing() {
    let catalog = Scripted::new(&[]);
    let first = run(&catalog).await.ok().unwrap();
    let second = run(&catalog).await.ok().unwrap();
    assert!(second.already);
    assert_eq!(first.snapshot_id, second.snapshot_id);
    assert_eq!(catalog.snapshots(), 1);
}

#[tokio::test]
async fn a_lost_reply_and_a_lost_catalog_leave_it_unknown() {
    let catalog = Scripted::new(&[Fate::LostForGood]);
    let not = run(&catalog).await.err().unwrap();
    assert_eq!(not.error.kind(), ErrorKind::CommitUnknown);
    assert!(!not.certain, "the data files must stay");
}
