//! Tables that PyIceberg made, in the same catalog: read and appended to here, and read back there.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use run::lake::{
    CatalogOptions, Lake, StageRequest, TableChange, TableId, WarehouseOptions, WriteMode,
    schema_change,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Server, ids_of, stamp};
use crate::services;

/// 2024-05-06, in days since 1970.
const DAY: i32 = 19_849;

/// Has PyIceberg make or read the table `d.foreign`; what it saw.
fn pyiceberg(action: &str, options: &Value) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/foreign.py");
    let output = Command::new(services::python()?)
        .arg("-B")
        .arg(script)
        .args([action, &options.to_string()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn rows() -> RecordBatch {
    let days = Date32Array::from(vec![DAY, DAY + 1]);
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![5, 6])) as ArrayRef),
        ("day", Arc::new(days)),
        ("title", Arc::new(StringArray::from(vec!["five", "six"]))),
    ])
    .unwrap()
}

async fn both_ways(lake: &Lake, options: &Value) {
    let Some(made) = pyiceberg("make", options) else {
        return;
    };
    assert_eq!(made["columns"], json!(["id", "day", "title"]));
    let id = TableId::new("d", "foreign");
    assert!(lake.tables().await.unwrap().contains(&id));
    let table = lake.table(&id).await.unwrap().unwrap();
    assert_eq!(ids_of(&table).await, [1, 2, 3, 4]);
    assert_eq!(table.partitioning(), ["day"]);
    let columns: Vec<String> = table
        .columns()
        .into_iter()
        .map(|column| column.name)
        .collect();
    assert_eq!(columns, ["id", "day", "title"]);
    let change = schema_change(Some(&table), &rows().schema()).unwrap();
    assert_eq!(change, TableChange::Unchanged);

    let mut request = StageRequest::new(id.clone(), WriteMode::Append, rows().schema());
    request.partition_by = vec!["day".to_owned()];
    let stage = lake.stage(request).await.unwrap();
    let mut writer = stage.writer().unwrap();
    writer.write(&rows()).await.unwrap();
    let written = writer.finish().await.unwrap();
    stage
        .staged(vec![written])
        .commit(&stamp("run-1"))
        .await
        .unwrap();
    let table = lake.table(&id).await.unwrap().unwrap();
    assert_eq!(ids_of(&table).await, [1, 2, 3, 4, 5, 6]);

    let seen = pyiceberg("read", options).unwrap();
    assert_eq!(seen["columns"], made["columns"]);
    let titles = json!([
        [1, "a"],
        [2, "b"],
        [3, "c"],
        [4, null],
        [5, "five"],
        [6, "six"]
    ]);
    assert_eq!(seen["rows"], titles);
    assert_eq!(
        seen["of_the_day"],
        json!([5]),
        "partitions are where their values say"
    );
    assert_eq!(seen["sorted_by"], json!(["id"]));
}

#[tokio::test]
async fn a_table_in_sqlite() {
    let folder = TempDir::new().unwrap();
    let (catalog, warehouse) = (folder.path().join("catalog.db"), folder.path().join("w"));
    let options = json!({
        "type": "sql",
        "uri": format!("sqlite:///{}", catalog.display()),
        "warehouse": format!("file://{}", warehouse.display()),
    });
    let lake = Lake::open(
        CatalogOptions::Sqlite { path: catalog },
        WarehouseOptions::Local { path: warehouse },
    );
    Box::pin(both_ways(&lake.unwrap(), &options)).await;
}

#[tokio::test]
async fn a_table_behind_rest() {
    let Some(server) = Server::start(json!({})) else {
        return;
    };
    let options = json!({
        "type": "rest",
        "uri": server.uri,
        "credential": super::CREDENTIAL,
        "s3.endpoint": server.s3.endpoint,
        "s3.access-key-id": server.s3.access_key,
        "s3.secret-access-key": server.s3.secret_key,
        "s3.region": "us-east-1",
    });
    Box::pin(both_ways(&server.lake(), &options)).await;
}
