//! What is secret stays so: with everything logged that can be, no password and no key stands in what is printed, in the
//! state or in the lake, whether commands end well or not.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::database::Database;
use crate::scene::Scene;
use crate::services;

const PASSWORD: &str = "kept-PASSWORD-51c9a";
const WRONG_PASSWORD: &str = "wrong-PASSWORD-77e01";
const WRONG_KEY: &str = "wrong-KEY-3ab4f0aa17";

const PIPELINES: [(&str, &str); 4] = [
    (
        "good",
        "  - name: rows
    extract: { connection: source, table: public.t, mode: { incremental: { watermark: id, unique: true } } }
  - name: sane
    check: { on: rows, rules: [{ name: positive, expect: id > 0, otherwise: fail }] }
  - name: publish
    load: { from: sane, table: d.t, mode: append }
  - name: copy
    load: { from: sane, connection: source, table: public.copy, mode: append }
",
    ),
    (
        "files",
        "  - name: rows
    transform: { sql: select id from d.t }
  - name: publish
    load: { from: rows, connection: bucket, table: out.parquet, mode: replace }
",
    ),
    (
        "refused",
        "  - name: rows
    extract: { connection: refused, table: public.t }
  - name: publish
    load: { from: rows, table: d.refused, mode: append }
",
    ),
    (
        "locked",
        "  - name: rows
    extract: { connection: locked, table: '*.csv' }
  - name: publish
    load: { from: rows, table: d.locked, mode: append }
",
    ),
];

/// A project whose connections, catalog and state all have secrets, some of them wrong ones.
fn project(database: &mut Database, s3: &services::S3, warehouse: &str) -> Scene {
    let user = services::fresh_schema();
    database.execute(&format!(
        "CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{PASSWORD}'; \
         CREATE TABLE t AS SELECT i::bigint AS id FROM generate_series(1, 100) AS i"
    ));
    let scene = Scene::with(&[]);
    let options = database.options(&scene, "source");
    let (before, rest) = options.split_once("user: ").unwrap();
    let (_, after) = rest.split_once(',').unwrap();
    let options = format!("{before}user: {user},{after}");
    scene.write("secrets/source", PASSWORD);
    scene.write("secrets/refused", WRONG_PASSWORD);
    let connection = |name: &str, kind: &str, options: &str| {
        let spec = format!("kind: Connection\nname: {name}\nconnector: {kind}\n{options}\n");
        scene.write(&format!("connections/{name}.yaml"), &spec);
    };
    connection("source", "postgres", &options);
    let refused = options.replace("secrets/source", "secrets/refused");
    connection("refused", "postgres", &refused);
    let more = ", path_style: true, allow_http: true";
    let bucket = s3.folder(&scene, &services::fresh_prefix(), more);
    connection("bucket", "s3", &format!("options: {bucket}"));
    scene.write("secrets/wrong_key", WRONG_KEY);
    let locked = bucket.replace("secrets/secret_key", "secrets/wrong_key");
    connection("locked", "s3", &format!("options: {locked}"));
    let url = database.url();
    let (_, place) = url.rsplit_once('@').unwrap();
    let url = format!("postgres://{user}:{PASSWORD}@{place}");
    scene.write("secrets/database", &url);
    let database = "postgres: { url: { file: secrets/database } }";
    let warehouse = match warehouse {
        "s3" => format!("s3: {}", s3.folder(&scene, &services::fresh_prefix(), more)),
        _ => "local: { path: lake/warehouse }".to_owned(),
    };
    scene.write(
        "project.yaml",
        &format!(
            "kind: Project\nname: scene\nversion: 1\nlake:\n  catalog: {{ {database} }}\n  \
             warehouse: {{ {warehouse} }}\nstate: {{ {database} }}\n"
        ),
    );
    for (name, steps) in PIPELINES {
        let text = format!("kind: Pipeline\nname: {name}\ndomain: d\nsteps:\n{steps}");
        scene.write(&format!("pipelines/{name}.yaml"), &text);
    }
    scene
}

/// Everything that a command prints with all logs on, and whether it ended well.
fn told(scene: &Scene, arguments: &[&str]) -> (String, bool) {
    let output = services::lakewright()
        .args(arguments)
        .args(["--log-format", "json"])
        .env("LAKEWRIGHT_LOG", "trace")
        .current_dir(scene.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    (printed, output.status.success())
}

/// The bytes of all files in a folder.
fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(fs::read(path).unwrap());
        }
    }
}

/// All rows of all tables that are not the server's own.
fn rows(database: &mut Database) -> String {
    let tables = database.query(
        "SELECT format('%I.%I', table_schema, table_name) AS t FROM information_schema.tables \
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
    );
    assert!(tables.len() >= 4, "state, catalog and marts: {tables:?}");
    let all = tables
        .iter()
        .flat_map(|table| database.query(&format!("SELECT x::text AS row FROM {table} AS x")));
    all.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_secret_is_printed_logged_or_kept() {
    let Some(s3) = services::s3() else {
        return;
    };
    for warehouse in ["s3", "local"] {
        let Some(mut database) = Database::new("") else {
            return;
        };
        let scene = project(&mut database, &s3, warehouse);
        let server = database.url();
        let (_, server) = server.split_once("://").unwrap();
        let login = server.rsplit_once('@').unwrap().0;
        let secrets = [
            PASSWORD,
            WRONG_PASSWORD,
            WRONG_KEY,
            s3.secret_key.as_str(),
            login,
        ];
        let clean = |what: &str, text: &str| {
            for secret in secrets {
                let shown = text.find(secret).map(|at| {
                    let start = text.floor_char_boundary(at.saturating_sub(200));
                    let end = text.floor_char_boundary(at + 100);
                    &text[start..end]
                });
                assert_eq!(shown, None, "{what} shows a secret");
            }
        };
        for (arguments, good) in [
            (&["plan", "d/good"][..], true),
            (&["run", "d/good"], true),
            (&["run", "d/files"], true),
            (&["query", "SELECT * FROM d.t"], true),
            (&["query", "SELECT nothing FROM d.t"], false),
            (&["plan", "d/refused"], false),
            (&["run", "d/refused"], false),
            (&["plan", "d/locked"], false),
            (&["run", "d/locked"], false),
            (&["doctor"], false),
            (&["runs"], true),
            (&["maintain"], true),
        ] {
            let (printed, ended_well) = told(&scene, arguments);
            assert_eq!(ended_well, good, "{arguments:?}\n{printed}");
            let logged = printed.contains("\"level\":\"DEBUG\"");
            // A login that is refused is an answer and no log.
            assert!(!good || logged, "{arguments:?}: all is logged");
            clean(&format!("{arguments:?}"), &printed);
        }
        clean("the state or the catalog", &rows(&mut database));
        let mut kept = Vec::new();
        files(&scene.path().join("lake"), &mut kept);
        assert!(!kept.is_empty() || warehouse == "s3", "a lake has files");
        for bytes in kept {
            clean("a file of the lake", &String::from_utf8_lossy(&bytes));
        }
    }
}
