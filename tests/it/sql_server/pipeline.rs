//! Pipelines that read SQL Server into tables of the lake, by the built binary.

use super::*;
use crate::scene::Scene;
use crate::services;

/// A project with a connection `legacy` to the server, and the pipeline `d/p` of these steps.
fn project(bench: &Bench, more: &str, steps: &str) -> Scene {
    let address = &bench.address;
    let connection = format!(
        "kind: Connection\nname: legacy\nconnector: sql_server\noptions:\n  host: {}\n  port: {}\n  database: {}\n  user: {}\n  \
         password: {{ file: secrets/password }}\n  trust_server_certificate: true\n{more}",
        address.host, address.port, address.database, address.user
    );
    let scene = Scene::with(&[("connections/legacy.yaml", connection.as_str())]);
    scene.write("secrets/password", &address.password);
    pipeline(&scene, steps);
    scene
}

fn pipeline(scene: &Scene, steps: &str) {
    let text = format!("kind: Pipeline\nname: p\ndomain: d\nsteps:\n{steps}");
    scene.write("pipelines/p.yaml", &text);
}

const ORDERS: [&str; 3] = [
    "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, customer nvarchar(40) NOT NULL, total money NULL, \
     placed datetime2(3) NOT NULL, token uniqueidentifier NULL, rv rowversion NOT NULL)",
    "INSERT INTO dbo.orders (id, customer, total, placed, token) VALUES \
     (1, N'Ada', 12.3400, '2024-01-01T10:00:00.001', '00112233-4455-6677-8899-AABBCCDDEEFF'), \
     (2, N'Zoë 😀', NULL, '2024-01-02T10:00:00', NULL)",
    "INSERT INTO dbo.orders (id, customer, total, placed) VALUES (3, N'Łukasz', -0.0001, '1753-01-01')",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_into_the_lake() {
    let Some(bench) = Bench::new(&ORDERS).await else {
        return;
    };
    let scene = project(
        &bench,
        "",
        "  - { name: orders, extract: { connection: legacy, table: dbo.orders } }\n  \
         - { name: large, transform: { sql: \"select customer, total from orders where id >= 2\" } }\n  \
         - { name: publish, load: { from: orders, table: d.orders, mode: replace } }\n  \
         - { name: publish_large, load: { from: large, table: d.large, mode: replace } }\n",
    );
    let plan = scene.good(&["plan", "d/p"]);
    assert!(plan.contains("one snapshot"), "{plan}");
    let doctor = scene.good(&["doctor"]);
    assert!(doctor.contains("SQL Server"), "{doctor}");
    scene.good(&["run", "d/p"]);
    assert_eq!(
        scene.query("select id, customer, total, placed, token from d.orders order by id"),
        [
            "1,Ada,12.3400,2024-01-01T10:00:00.001,00112233445566778899aabbccddeeff",
            "2,Zoë 😀,,2024-01-02T10:00:00,",
            "3,Łukasz,-0.0001,1753-01-01T00:00:00,",
        ]
    );
    assert_eq!(scene.query("select count(*) from d.large"), ["2"]);
    if let Some(tables) = scene.readers_agree() {
        assert_eq!(tables["d.orders"].count, 3);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_rows_are_merged_by_their_rowversion() {
    let Some(mut bench) = Bench::new(&ORDERS).await else {
        return;
    };
    let scene = project(
        &bench,
        "",
        "  - { name: orders, extract: { connection: legacy, table: dbo.orders, mode: { incremental: { watermark: rv } } } }\n  \
         - { name: publish, load: { from: orders, table: d.orders, mode: { merge: { key: [id] } } } }\n",
    );
    scene.good(&["run", "d/p"]);
    bench
        .sql
        .run("UPDATE dbo.orders SET total = 99 WHERE id = 2")
        .await;
    bench
        .sql
        .run("INSERT INTO dbo.orders (id, customer, placed) VALUES (4, N'new', '2024-03-01')")
        .await;
    // The second of these finds nothing new.
    scene.good(&["run", "d/p"]);
    scene.good(&["run", "d/p"]);
    assert_eq!(
        scene.query("select id, total from d.orders order by id"),
        ["1,12.3400", "2,99.0000", "3,-0.0001", "4,"]
    );
    scene.readers_agree();
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_is_told_by_the_plan() {
    let Some(mut bench) = Bench::new(&[
        "CREATE TABLE dbo.visits (id int NOT NULL PRIMARY KEY, at datetime2 NOT NULL)",
        "INSERT INTO dbo.visits VALUES (1, '2024-02-29 12:34:56.1234567')",
    ])
    .await
    else {
        return;
    };
    let steps = |options: &str| {
        format!(
            "  - {{ name: visits, extract: {{ connection: legacy, table: dbo.visits{options} }} }}\n  \
             - {{ name: publish, load: {{ from: visits, table: d.visits, mode: replace }} }}\n"
        )
    };
    let scene = project(&bench, "", &steps(""));
    let told = scene.bad(1, &["plan", "d/p"]);
    for part in [
        "`at`",
        "datetime2(7)",
        "CAST([at] AS datetime2(6))",
        "sub_microsecond",
    ] {
        assert!(told.contains(part), "{told}");
    }
    pipeline(
        &scene,
        &steps(", options: { allow_lossy: { at: [nonsense] } }"),
    );
    let found = scene.run(&["validate"]);
    let told = String::from_utf8_lossy(&found.stdout);
    assert_eq!(found.status.code(), Some(3), "{told}");
    assert!(
        told.contains("pipelines/p.yaml") && told.contains("nonsense"),
        "{told}"
    );
    pipeline(
        &scene,
        &steps(", options: { allow_lossy: { at: [sub_microsecond] } }"),
    );
    scene.good(&["run", "d/p"]);
    assert_eq!(
        scene.query("select at from d.visits"),
        ["2024-02-29T12:34:56.123456"]
    );
    bench.of_database("DROP TABLE dbo.visits").await;
    bench.stop().await;
}
/// The state of the source as the lake should have it.
const STATE: &str = "select id, customer, total from d.orders order by id";

#[tokio::test(flavor = "multi_thread")]
async fn tracked_changes_are_merged_deletes_too() {
    let Some(mut bench) = Bench::new(&ORDERS).await else {
        return;
    };
    let scene = project(
        &bench,
        "",
        "  - { name: orders, extract: { connection: legacy, table: dbo.orders, mode: change_tracking } }\n  \
         - { name: good, check: { on: orders, rules: [{ name: known, expect: id > 0, otherwise: fail }] } }\n  \
         - { name: publish, load: { from: good, table: d.orders, mode: { merge: { key: [id] } } } }\n",
    );
    // What is missing is told, with the statement that helps.
    let told = scene.bad(1, &["run", "d/p"]);
    assert!(told.contains("SET CHANGE_TRACKING = ON"), "{told}");
    bench
        .of_database("ALTER DATABASE {db} SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)")
        .await;
    let told = scene.bad(1, &["run", "d/p"]);
    assert!(
        told.contains("ALTER TABLE [dbo].[orders] ENABLE CHANGE_TRACKING"),
        "{told}"
    );
    bench
        .sql
        .run("ALTER TABLE dbo.orders ENABLE CHANGE_TRACKING")
        .await;
    scene.good(&["run", "d/p"]);
    assert_eq!(
        scene.query(STATE),
        ["1,Ada,12.3400", "2,Zoë 😀,", "3,Łukasz,-0.0001"]
    );

    bench
        .sql
        .run("DELETE FROM dbo.orders WHERE id = 1; UPDATE dbo.orders SET total = 5 WHERE id = 2; INSERT INTO dbo.orders (id, customer, placed) VALUES (4, N'new', '2024-03-01')")
        .await;
    // A row that comes and goes between two runs, and one that goes and comes.
    bench
        .sql
        .run("INSERT INTO dbo.orders (id, customer, placed) VALUES (5, N'short', '2024-03-01'); DELETE FROM dbo.orders WHERE id = 5")
        .await;
    bench
        .sql
        .run("DELETE FROM dbo.orders WHERE id = 3; INSERT INTO dbo.orders (id, customer, placed) VALUES (3, N'again', '2024-03-01')")
        .await;
    let plan = scene.good(&["plan", "d/p"]);
    assert!(plan.contains("changes after version"), "{plan}");
    scene.good(&["run", "d/p"]);
    let state = ["2,Zoë 😀,5.0000", "3,again,", "4,new,"];
    assert_eq!(scene.query(STATE), state);
    // Nothing changed, nothing is read.
    scene.good(&["run", "d/p"]);
    assert_eq!(scene.query(STATE), state);
    if let Some(tables) = scene.readers_agree() {
        let names: Vec<_> = tables["d.orders"]
            .columns
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["id", "customer", "total", "placed", "token", "rv"]);
    }

    // What the server forgot meanwhile is not passed over.
    bench.sql.run("DELETE FROM dbo.orders WHERE id = 4").await;
    bench
        .sql
        .run("EXEC sys.sp_flush_CT_internal_table_on_demand @TableToClean = 'dbo.orders'")
        .await;
    let told = scene.bad(1, &["run", "d/p"]);
    assert!(
        told.contains("no longer kept") && told.contains("by_absence"),
        "{told}"
    );
    assert_eq!(scene.query(STATE), state);
    bench.stop().await;
}

/// A run that is killed anywhere between its commit and the next one loses no delete and brings none back.
#[tokio::test(flavor = "multi_thread")]
#[cfg(debug_assertions)]
async fn changes_survive_a_run_that_dies() {
    let Some(mut bench) = Bench::new(&ORDERS).await else {
        return;
    };
    bench
        .of_database("ALTER DATABASE {db} SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)")
        .await;
    bench
        .sql
        .run("ALTER TABLE dbo.orders ENABLE CHANGE_TRACKING")
        .await;
    let scene = project(
        &bench,
        "",
        "  - { name: orders, extract: { connection: legacy, table: dbo.orders, mode: change_tracking } }\n  \
         - { name: publish, load: { from: orders, table: d.orders, mode: { merge: { key: [id] } } } }\n",
    );
    for (round, at) in ["commit.swap.before", "commit.swap.after"]
        .iter()
        .cycle()
        .take(6)
        .enumerate()
    {
        let change = format!(
            "DELETE FROM dbo.orders WHERE id = {}; INSERT INTO dbo.orders (id, customer, placed) VALUES ({}, N'new', '2024-03-01')",
            round + 1,
            round + 4
        );
        bench.sql.run(&change).await;
        let died = services::lakewright()
            .args(["run", "d/p"])
            .current_dir(scene.path())
            .env("LAKEWRIGHT_FAILPOINTS", format!("{at}=kill"))
            .output()
            .unwrap();
        assert!(!died.status.success(), "{at}");
        // More changes before the next run goes on with what is left of this one.
        let change = format!(
            "UPDATE dbo.orders SET total = {round} WHERE id = {}",
            round + 4
        );
        bench.sql.run(&change).await;
        scene.good(&["run", "d/p"]);
        scene.good(&["run", "d/p"]);
        let ids: Vec<_> = (round + 2..round + 5).map(|id| id.to_string()).collect();
        assert_eq!(
            scene.query("select id from d.orders order by id"),
            ids,
            "{at}"
        );
        let total = format!("select total from d.orders where id = {}", round + 4);
        assert_eq!(scene.query(&total), [format!("{round}.0000")], "{at}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_text_are_merged_only_where_their_spelling_is_known() {
    let Some(mut bench) = Bench::new(&[
        "CREATE TABLE dbo.wards (code nvarchar(10) NOT NULL PRIMARY KEY, beds int NULL)",
        "INSERT INTO dbo.wards VALUES (N'icu', 8), (N'er', 20)",
    ])
    .await
    else {
        return;
    };
    bench
        .of_database("ALTER DATABASE {db} SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)")
        .await;
    bench
        .sql
        .run("ALTER TABLE dbo.wards ENABLE CHANGE_TRACKING")
        .await;
    let steps = |options: &str| {
        format!(
            "  - {{ name: wards, extract: {{ connection: legacy, table: dbo.wards, mode: change_tracking{options} }} }}\n  \
             - {{ name: publish, load: {{ from: wards, table: d.wards, mode: {{ merge: {{ key: [code] }} }} }} }}\n"
        )
    };
    let scene = project(&bench, "", &steps(""));
    let told = scene.bad(1, &["plan", "d/p"]);
    assert!(
        told.contains("allow_lossy: { code: [key_spelling] }"),
        "{told}"
    );
    let known = steps(", options: { allow_lossy: { code: [key_spelling] } }");
    pipeline(&scene, &known);
    scene.good(&["run", "d/p"]);
    bench
        .sql
        .run("DELETE FROM dbo.wards WHERE code = N'er'; UPDATE dbo.wards SET beds = 9 WHERE code = N'icu'")
        .await;
    scene.good(&["run", "d/p"]);
    assert_eq!(scene.query("select code, beds from d.wards"), ["icu,9"]);
    bench.stop().await;
}
