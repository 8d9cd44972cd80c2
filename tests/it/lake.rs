//! The lake on every catalog: what is committed is there once, whoever reads it.
//!
//! One suite of cases over a [`Home`]: `SQLite` with a local folder always, `PostgreSQL` and REST with S3 where they run.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is test code: failing is its way of telling"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array,
    ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use connectors::Fence;
use datafusion::prelude::SessionContext;
use run::ErrorKind;
use run::lake::{
    CatalogOptions, Committed, Lake, LakeTable, Reaction, StageRequest, Staged, Stamp, TableChange,
    TableId, WarehouseOptions, WriteMode, schema_change,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::place::Place;
use crate::scene::Scene;
use crate::services;

/// A lake for one test.
struct Home {
    lake: Lake,
    /// Of this test alone, in catalogs that all share.
    namespace: String,
    place: Place,
    /// A project on the same lake.
    scene: Scene,
}

impl Home {
    fn at(place: Place) -> Self {
        let scene = Scene::empty();
        let lake = place.spec(&scene);
        let project = format!(
            "kind: Project\nname: home\nversion: 1\nlake: {lake}\nstate: {{ sqlite: {{ path: lake/state.db }} }}\n"
        );
        scene.write("project.yaml", &project);
        Self {
            lake: place.open(scene.path()),
            namespace: services::fresh_schema(),
            place,
            scene,
        }
    }

    fn local() -> Self {
        Self::at(Place::embedded())
    }

    fn postgres() -> Option<Self> {
        Some(Self::at(Place::postgres(services::postgres()?)))
    }

    fn readers_agree(&self) {
        let namespaces = [self.namespace.as_str()];
        self.scene.readers_agree_at(&self.place, &namespaces, &[]);
    }

    fn id(&self, name: &str) -> TableId {
        TableId::new(&self.namespace, name)
    }

    async fn table(&self, name: &str) -> LakeTable {
        self.lake.table(&self.id(name)).await.unwrap().unwrap()
    }

    async fn stage(&self, name: &str, mode: WriteMode, rows: &RecordBatch) -> Staged {
        stage(
            &self.lake,
            StageRequest::new(self.id(name), mode, rows.schema()),
            rows,
        )
        .await
    }

    async fn append(&self, name: &str, run: &str, rows: &RecordBatch) -> Committed {
        let staged = self.stage(name, WriteMode::Append, rows).await;
        staged.commit(&stamp(run)).await.unwrap()
    }
}

async fn stage(lake: &Lake, request: StageRequest, rows: &RecordBatch) -> Staged {
    let stage = lake.stage(request).await.unwrap();
    let mut writer = stage.writer().unwrap();
    writer.write(rows).await.unwrap();
    let written = writer.finish().await.unwrap();
    stage.staged(vec![written])
}

fn stamp(run: &str) -> Stamp {
    Stamp {
        run: run.to_owned(),
        pipeline: "medicine/visits".to_owned(),
        fingerprint: "f00d".to_owned(),
        watermarks: BTreeMap::from([("visit".to_owned(), format!("\"{run}\""))]),
        now_ms: 1_750_000_000_000,
        fence: None,
    }
}

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    let names: StringArray = range
        .clone()
        .map(|id| Some(format!("n{}", id % 7)))
        .collect();
    let ids: Int64Array = range.map(Some).collect();
    RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef), ("name", Arc::new(names))])
        .unwrap()
}

/// The ids in the table, in order, as queries see them.
async fn ids(table: &LakeTable) -> Vec<i64> {
    let rows = query(table, "SELECT CAST(id AS BIGINT) FROM t ORDER BY 1").await;
    rows.iter()
        .flat_map(|batch| {
            let column = batch
                .column(0)
                .as_any()
                .downcast_ref::<Int64Array>()
                .unwrap();
            column.values().to_vec()
        })
        .collect()
}

async fn query(table: &LakeTable, sql: &str) -> Vec<RecordBatch> {
    let session = SessionContext::new();
    session.register_table("t", table.provider()).unwrap();
    session.sql(sql).await.unwrap().collect().await.unwrap()
}

async fn one(table: &LakeTable, sql: &str) -> i64 {
    let rows = query(table, sql).await;
    rows[0]
        .column(0)
        .as_any()
        .downcast_ref::<Int64Array>()
        .unwrap()
        .value(0)
}

/// Create, append, append again, replace; a run that comes back changes nothing.
async fn lifecycle(home: &Home) {
    let lake = &home.lake;
    assert!(lake.table(&home.id("t")).await.unwrap().is_none());

    let staged = home.stage("t", WriteMode::Append, &numbers(0..100)).await;
    let first = staged.commit(&stamp("run-1")).await.unwrap();
    assert_eq!((first.rows, first.already), (100, false));
    home.append("t", "run-2", &numbers(100..150)).await;
    let table = home.table("t").await;
    assert_eq!(ids(&table).await, (0..150).collect::<Vec<_>>());
    assert!(lake.tables().await.unwrap().contains(&home.id("t")));

    let again = home.append("t", "run-2", &numbers(100..150)).await;
    assert!(again.already);
    let unmoved = home.table("t").await;
    assert_eq!(unmoved.snapshot_id(), table.snapshot_id());
    assert_eq!(table.committed("run-1"), Some(first.snapshot_id));
    assert_eq!(table.committed("run-3"), None);
    assert_eq!(
        table.watermark("medicine/visits", "visit").as_deref(),
        Some("\"run-2\"")
    );
    assert_eq!(table.last_run().unwrap().run, "run-2");

    let staged = home.stage("t", WriteMode::Replace, &numbers(7..9)).await;
    assert_eq!(
        ids(&home.table("t").await).await.len(),
        150,
        "nothing is visible before the commit"
    );
    staged.commit(&stamp("run-3")).await.unwrap();
    let replaced = home.table("t").await;
    assert_eq!(ids(&replaced).await, [7, 8]);
    assert_eq!(
        ids(&table).await.len(),
        150,
        "a table that was loaded stays as it was"
    );
    assert_eq!(replaced.rows(), Some(2));
    home.readers_agree();
}

/// Eight writers at once: every row is there once.
async fn race(home: &Home) {
    home.append("t", "first", &numbers(0..10)).await;
    let mut staged = Vec::new();
    for writer in 1..=8 {
        staged.push(
            home.stage(
                "t",
                WriteMode::Append,
                &numbers(writer * 10..writer * 10 + 10),
            )
            .await,
        );
    }
    let mut commits = JoinSet::new();
    for (writer, staged) in staged.into_iter().enumerate() {
        commits.spawn(async move { staged.commit(&stamp(&format!("writer-{writer}"))).await });
    }
    for committed in commits.join_all().await {
        assert!(!committed.unwrap().already);
    }
    assert_eq!(
        ids(&home.table("t").await).await,
        (0..90).collect::<Vec<_>>()
    );
    home.readers_agree();
}

/// Who has a lower token than somebody else of the same giver commits nothing, neither into a table nor with one it makes.
async fn fenced(home: &Home) {
    let fence = |giver: &str, token| {
        let giver = giver.to_owned();
        let name = format!("{}/p", home.namespace);
        Fence { giver, name, token }
    };
    let stamp = |run: &str, fence| Stamp {
        fence: Some(fence),
        ..stamp(run)
    };
    let append = async |name: &str, stamp: &Stamp| {
        let staged = home.stage(name, WriteMode::Append, &numbers(0..10)).await;
        staged.commit(stamp).await
    };
    append("t", &stamp("run-1", fence("a", 1))).await.unwrap();
    // Staged in time, and late.
    let late = home.stage("t", WriteMode::Append, &numbers(0..10)).await;
    home.lake.raise(&[fence("a", 2)]).await.unwrap();
    let refused = [
        late.commit(&stamp("run-2", fence("a", 1))).await,
        append("new", &stamp("run-2", fence("a", 1))).await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("taken"), "{error}");
    }
    assert!(home.lake.table(&home.id("new")).await.unwrap().is_none());
    let raised = home.lake.raise(&[fence("a", 1)]).await;
    assert_eq!(raised.unwrap_err().kind(), ErrorKind::Conflict);
    append("t", &stamp("run-2", fence("a", 2))).await.unwrap();
    append("t", &stamp("run-3", fence("b", 1))).await.unwrap();
    assert_eq!(ids(&home.table("t").await).await.len(), 30);
    home.readers_agree();
}

#[tokio::test]
async fn sqlite_and_a_folder() {
    Box::pin(lifecycle(&Home::local())).await;
    race(&Home::local()).await;
    fenced(&Home::local()).await;
}

#[tokio::test]
async fn sqlite_and_s3() {
    let Some(home) = Place::s3().map(Home::at) else {
        return;
    };
    Box::pin(lifecycle(&home)).await;
}

#[tokio::test]
async fn postgres_and_a_folder() {
    let Some(home) = Home::postgres() else { return };
    Box::pin(lifecycle(&home)).await;
    let Some(home) = Home::postgres() else { return };
    race(&home).await;
    let Some(home) = Home::postgres() else { return };
    fenced(&home).await;
}

#[tokio::test]
async fn rest_and_s3() {
    let Some(home) = Place::rest().map(Home::at) else {
        return;
    };
    Box::pin(lifecycle(&home)).await;
    let Some(home) = Place::rest().map(Home::at) else {
        return;
    };
    race(&home).await;
}

#[tokio::test]
async fn looking_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("lake");
    let catalog = CatalogOptions::Sqlite {
        path: root.join("catalog.db"),
    };
    let lake = Lake::open(
        catalog,
        WarehouseOptions::Local {
            path: root.join("warehouse"),
        },
    )
    .unwrap();
    assert!(lake.tables().await.unwrap().is_empty());
    assert!(lake.table(&TableId::new("a", "b")).await.unwrap().is_none());
    lake.probe().await.unwrap();
    assert!(!root.exists());
}

#[tokio::test]
async fn a_replace_that_would_lose_an_append_is_refused() {
    let home = Home::local();
    home.append("t", "run-1", &numbers(0..3)).await;
    let replace = home.stage("t", WriteMode::Replace, &numbers(50..51)).await;
    home.append("t", "run-2", &numbers(3..6)).await;
    let error = replace.commit(&stamp("run-3")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.is_retryable());
    assert_eq!(
        ids(&home.table("t").await).await,
        (0..6).collect::<Vec<_>>()
    );
    home.readers_agree();
}

#[tokio::test]
async fn two_that_make_the_same_table_do_not_mix() {
    let home = Home::local();
    let one = home.stage("t", WriteMode::Append, &numbers(0..3)).await;
    let other = home.stage("t", WriteMode::Append, &numbers(3..6)).await;
    one.commit(&stamp("one")).await.unwrap();
    let error = other.commit(&stamp("other")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    home.append("t", "other", &numbers(3..6)).await;
    assert_eq!(
        ids(&home.table("t").await).await,
        (0..6).collect::<Vec<_>>()
    );
    home.readers_agree();
}

fn amounts(values: Vec<i128>, precision: u8) -> ArrayRef {
    let amounts = Decimal128Array::from(values);
    Arc::new(amounts.with_precision_and_scale(precision, 2).unwrap())
}

fn narrow_rows() -> RecordBatch {
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef),
        ("amount", amounts(vec![150, 250], 8)),
        ("gone", Arc::new(StringArray::from(vec!["a", "b"]))),
    ])
    .unwrap()
}

fn wide_rows() -> RecordBatch {
    RecordBatch::try_from_iter([
        ("amount", amounts(vec![350], 12)),
        ("id", Arc::new(Int64Array::from(vec![1 << 40])) as ArrayRef),
        ("score", Arc::new(Float64Array::from(vec![0.5]))),
    ])
    .unwrap()
}

#[tokio::test]
async fn columns_are_added_and_widened_with_the_rows() {
    let home = Home::local();
    home.append("t", "run-1", &narrow_rows()).await;
    let before = home.table("t").await;
    let change = schema_change(Some(&before), &wide_rows().schema()).unwrap();
    let TableChange::Evolve(change) = change else {
        panic!("the columns differ")
    };
    let counts = (
        change.added.len(),
        change.widened.len(),
        change.dropped.len(),
    );
    assert_eq!(counts, (1, 2, 1));
    home.append("t", "run-2", &wide_rows()).await;

    let table = home.table("t").await;
    let columns = table.columns().into_iter();
    let columns: Vec<String> = columns.map(|c| format!("{} {}", c.name, c.type_)).collect();
    assert_eq!(
        columns,
        [
            "id long",
            "amount decimal(12,2)",
            "gone string",
            "score double"
        ]
    );
    assert_eq!(ids(&table).await, [1, 2, 1 << 40]);
    assert_eq!(
        one(&table, "SELECT count(*) FROM t WHERE score IS NULL").await,
        2
    );
    assert_eq!(
        one(&table, "SELECT count(*) FROM t WHERE amount >= 2.50").await,
        2
    );
    assert_eq!(
        one(
            &table,
            "SELECT count(*) FROM t WHERE gone IS NULL AND id > 5"
        )
        .await,
        1
    );
    home.readers_agree();
}

#[tokio::test]
async fn columns_that_do_not_fit_are_refused_by_name() {
    let home = Home::local();
    home.append("t", "run-1", &narrow_rows()).await;
    let ids = Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
    let other = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let request = StageRequest::new(home.id("t"), WriteMode::Append, other.schema());
    let error = home.lake.stage(request).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.message(),
        "column `id` is `int` in the table and `string` in the rows"
    );
    assert!(error.help_text().is_some());

    let schema = wide_rows().schema();
    let mut strict = StageRequest::new(home.id("t"), WriteMode::Append, schema);
    strict.on_schema_change.add = Reaction::Reject;
    let error = home.lake.stage(strict).await.err().unwrap();
    assert!(error.message().contains("`score`"), "{error}");
    home.readers_agree();
}

#[tokio::test]
async fn many_partitions_sorted_files_and_pruning() {
    let home = Home::local();
    let rows = numbers(0..100_000);
    let mut request = StageRequest::new(home.id("t"), WriteMode::Append, rows.schema());
    request.partition_by = vec!["bucket(16, id)".to_owned(), "name".to_owned()];
    request.sort_by = vec!["id desc".to_owned()];
    let stage = home.lake.stage(request).await.unwrap();
    let mut tasks = JoinSet::new();
    for half in 0..2 {
        let mut writer = stage.writer().unwrap();
        let rows = rows.slice(half * 50_000, 50_000);
        tasks.spawn(async move {
            for start in (0..50_000).step_by(5_000) {
                writer.write(&rows.slice(start, 5_000)).await.unwrap();
            }
            writer.finish().await.unwrap()
        });
    }
    let committed = stage
        .staged(tasks.join_all().await)
        .commit(&stamp("run-1"))
        .await
        .unwrap();
    assert_eq!((committed.rows, committed.files), (100_000, 224));
    let table = home.table("t").await;
    assert_eq!(table.partitioning(), ["bucket(16, id)", "name"]);
    assert_eq!(one(&table, "SELECT count(*) FROM t").await, 100_000);
    assert_eq!(
        one(&table, "SELECT count(DISTINCT id) FROM t WHERE name = 'n3'").await,
        14_286
    );
    assert_eq!(
        one(&table, "SELECT count(*) FROM t WHERE id IN (5, 99999)").await,
        2
    );
    home.readers_agree();
}

/// Two rows with a column of each kind that other systems tend to lose.
fn kinds() -> RecordBatch {
    let uuid = Field::new("uuid", DataType::FixedSizeBinary(16), true)
        .with_metadata([("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())].into());
    let inner = Arc::new(Field::new("x", DataType::Int32, true));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let numbers = Arc::new(Int32Array::from(vec![7, 8])) as ArrayRef;
    let structs = StructArray::from(vec![(inner, numbers)]);
    let times = TimestampMicrosecondArray::from(vec![Some(1_700_000_000_000_001), None]);
    let uuids = FixedSizeBinaryArray::try_from_iter([[1u8; 16], [2u8; 16]].iter()).unwrap();
    let zone = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("at", zone, true),
        Field::new("amount", DataType::Decimal128(15, 2), true),
        uuid,
        Field::new("list", list.data_type().clone(), true),
        Field::new("struct", structs.data_type().clone(), true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(times.with_timezone("UTC")),
        amounts(vec![12_345, -1], 15),
        Arc::new(uuids),
        Arc::new(list),
        Arc::new(structs),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

#[tokio::test]
async fn every_kind_of_column_survives() {
    let home = Home::local();
    home.append("t", "run-1", &kinds()).await;
    home.append("t", "run-2", &kinds()).await;
    let table = home.table("t").await;
    let types: Vec<String> = table
        .columns()
        .into_iter()
        .map(|column| column.type_)
        .collect();
    let wanted = [
        "long",
        "timestamptz",
        "decimal(15,2)",
        "uuid",
        "list<int>",
        "struct<x:int>",
    ];
    assert_eq!(types, wanted);
    assert!(table.columns()[0].required);
    assert_eq!(
        one(&table, "SELECT CAST(sum(\"struct\"['x']) AS BIGINT) FROM t").await,
        30
    );

    // What a query returns can be a table again, of the same types.
    for batch in query(&table, "SELECT * FROM t WHERE id = 2").await {
        home.append("copy", "run-3", &batch).await;
    }
    let copy = home.table("copy").await;
    let types: Vec<String> = copy
        .columns()
        .into_iter()
        .map(|column| column.type_)
        .collect();
    assert_eq!(types, wanted);
    assert_eq!(ids(&copy).await.first(), Some(&2));
    home.readers_agree();
}
