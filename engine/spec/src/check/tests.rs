//! Whole projects in, findings out.

mod loads;
mod never_panics;
mod two;

use std::time::Duration;

use super::check;
use crate::diagnostic::Diagnostics;
use crate::model::{ExtractMode, Lag, Project, Schedule, StepKind, Target};
use crate::source::SourceFile;
use two::Two;

const PROJECT: &str = "kind: Project\nname: clinic\nversion: 1\n";
const HIS: &str =
    "kind: Connection\nname: his\nconnector: database\noptions: { host: h, port: 1_433 }\n";
const MEDICINE: &str = "kind: Domain\nname: medicine\nnamespace: medicine\n";
const VISITS: &str = r#"kind: Pipeline
name: visits
domain: medicine
schedule: { cron: "15 5 * * MON-FRI", timezone: Europe/Moscow }
steps:
  - name: visit
    extract:
      connection: his
      table: dbo.Visit
      mode: { incremental: { watermark: UpdatedAt, lag: 5m, key: [VisitID] } }
      splits: { by: VisitID, target_rows: 500_000 }
  - name: visit_daily
    transform: { file: sql/visit_daily.sql }
  - name: sane
    check:
      on: visit_daily
      rules:
        - { name: ward known, expect: "ward_id IS NOT NULL", otherwise: quarantine }
        - { name: not empty, expect: "count(*) > 0", otherwise: fail }
  - name: publish
    load:
      from: visit_daily
      table: medicine.visit_daily
      mode: append
      partition_by: ["month(visit_date)"]
      on_schema_change: { add: accept, drop: keep }
"#;
const SQL: &str = "-- per ward and day\nselect ward_id, visit_date, count(*) as visits\nfrom visit\ngroup by 1, 2\n";

fn good() -> Vec<(&'static str, String)> {
    vec![
        ("project.yaml", PROJECT.into()),
        ("connections/his.yaml", HIS.into()),
        ("domains/medicine/domain.yaml", MEDICINE.into()),
        ("domains/medicine/pipelines/visits.yaml", VISITS.into()),
        ("domains/medicine/pipelines/sql/visit_daily.sql", SQL.into()),
    ]
}

fn run(files: &[(&str, String)]) -> (Option<Project>, Diagnostics) {
    let files = files.iter().map(|(path, text)| SourceFile {
        path: (*path).into(),
        bytes: text.clone().into_bytes(),
    });
    let (project, found, _) = check(files.collect(), None, &Two);
    (project, found)
}

/// The good project with a piece of text exchanged.
fn with(from: &str, to: &str) -> (Option<Project>, Diagnostics) {
    let mut files = good();
    let mut changed = 0;
    for (_, text) in &mut files {
        changed += text.matches(from).count();
        *text = text.replace(from, to);
    }
    assert_eq!(changed, 1, "`{from}` is there {changed} times");
    run(&files)
}

/// `code file:line:column` of every finding.
fn places(found: &Diagnostics) -> Vec<String> {
    let json = found.to_json();
    let text = |value: &serde_json::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let entries = json.as_array().unwrap().iter();
    entries
        .map(|entry| {
            let file = text(&entry["file"]);
            let file = file.rsplit('/').next().unwrap().to_owned();
            format!(
                "{} {}:{}:{}",
                text(&entry["code"]),
                file,
                entry["line"],
                entry["column"]
            )
        })
        .collect()
}

#[track_caller]
fn expect(from: &str, to: &str, wanted: &[&str]) {
    let (project, found) = with(from, to);
    assert_eq!(places(&found), wanted, "\n{}", found.render(false));
    assert_eq!(project.is_none(), found.has_errors());
}

#[test]
fn a_good_project_is_a_project() {
    let (project, found) = run(&good());
    assert!(found.is_empty(), "{}", found.render(false));
    let project = project.unwrap();
    let pipeline = project.pipelines.values().next().unwrap();
    assert_eq!(pipeline.id.to_string(), "medicine/visits");
    assert!(matches!(
        &pipeline.schedule,
        Some(Schedule { cron: Some(_), .. })
    ));
    let StepKind::Extract(extract) = &pipeline.steps[0].kind else {
        panic!()
    };
    assert!(
        matches!(&extract.mode, ExtractMode::Incremental(by) if by.lag == Some(Lag::Time(Duration::from_mins(5))))
    );
    assert_eq!(extract.splits.target_rows, Some(500_000));
    let StepKind::Transform(transform) = &pipeline.steps[1].kind else {
        panic!()
    };
    assert_eq!(transform.reads, ["visit".parse().unwrap()]);
    let StepKind::Check(check) = &pipeline.steps[2].kind else {
        panic!()
    };
    assert_eq!(
        check.quarantine.as_ref().unwrap().to_string(),
        "medicine.visit_daily_quarantine"
    );
    assert!(!check.rules[0].aggregate && check.rules[1].aggregate);
    let StepKind::Load(load) = &pipeline.steps[3].kind else {
        panic!()
    };
    assert!(matches!(&load.target, Target::Lake(table) if table.name == "visit_daily"));
    let connection = project.connections.values().next().unwrap();
    assert_eq!(connection.options["port"], 1433);
}

#[test]
fn every_mistake_has_its_place() {
    expect(
        "connection: his",
        "connection: hs",
        &["unknown-connection visits.yaml:8:19"],
    );
    expect(
        "domain: medicine",
        "domain: medicin",
        &["unknown-domain visits.yaml:3:9"],
    );
    expect(
        "from visit\n",
        "from visitt\n",
        &["unknown-step visit_daily.sql:3:6"],
    );
    expect(
        "from visit\n",
        "from visit join fintech.pay using (id)\n",
        &["unknown-table visit_daily.sql:3:17"],
    );
    expect(
        "group by 1, 2",
        "group 1, 2",
        &["sql-syntax visit_daily.sql:4:1"],
    );
    expect(
        "select ward_id",
        "delete from x; select ward_id",
        &["sql-not-a-query visit_daily.sql:2:16"],
    );
    expect(
        "sql/visit_daily.sql }",
        "sql/visit.sql }",
        &["missing-file visits.yaml:13:24"],
    );
    expect(
        "connector: database",
        "connector: databse",
        &["unknown-connector his.yaml:3:12"],
    );
    expect(
        "table: medicine.visit_daily",
        "table: finance.visit_daily",
        &["foreign-namespace visits.yaml:23:14"],
    );
    expect("MON-FRI", "MON-FRY", &["bad-cron visits.yaml:4:19"]);
}

#[test]
fn every_form_has_its_place() {
    expect(
        "Europe/Moscow",
        "Europe/Moskow",
        &["bad-timezone visits.yaml:4:49"],
    );
    expect("lag: 5m", "lag: 5 minutes", &["bad-lag visits.yaml:10:57"]);
    expect(
        "month(visit_date)",
        "moth(visit_date)",
        &["bad-partition visits.yaml:25:22"],
    );
    expect(
        "version: 1",
        "version: 2",
        &["wrong-version project.yaml:3:10"],
    );
    expect(
        "kind: Project",
        "kind: Projekt",
        &["unknown-kind project.yaml:1:7"],
    );
    expect(
        "count(*) > 0",
        "count(*) >",
        &["sql-syntax visits.yaml:19:38"],
    );
    expect(
        "otherwise: fail",
        "otherwise: drop",
        &["bad-rule visits.yaml:19:65"],
    );
    expect(
        "name: sane",
        "name: visit",
        &["duplicate-name visits.yaml:14:11"],
    );
    expect(
        "from: visit_daily",
        "from: publish",
        &[
            "quarantine-without-load visits.yaml:18:73",
            "cycle visits.yaml:22:13",
            "no-rows visits.yaml:22:13",
        ],
    );
}

#[test]
fn reading_reports_everything_at_once() {
    expect(
        "      table: dbo.Visit\n",
        "      tabel: dbo.Visit\n      coluns: [a]\n",
        &[
            "unknown-field visits.yaml:9:7",
            "unknown-field visits.yaml:10:7",
        ],
    );
    expect(
        "target_rows: 500_000",
        "target_rows: many, by2: x",
        &[
            "wrong-value visits.yaml:11:43",
            "unknown-field visits.yaml:11:49",
        ],
    );
    expect(
        "mode: append",
        "mode: apend",
        &["wrong-value visits.yaml:24:13"],
    );
    expect("host: h", "hots: 5", &["unknown-field his.yaml:4:12"]);
    expect(
        "host: h",
        "host: h, port2: 1, tags: [1, x, y]",
        &[
            "unknown-field his.yaml:4:21",
            "wrong-value his.yaml:4:41",
            "wrong-value his.yaml:4:44",
        ],
    );
    expect("port: 1_433", "port: 70000", &["wrong-value his.yaml:4:27"]);
    expect(
        "name: his\n",
        "name: his\nname: hers\n",
        &["duplicate-key his.yaml:3:1"],
    );
    expect(
        "namespace: medicine\n",
        "",
        &["missing-field domain.yaml:1:7"],
    );
}

#[test]
fn yaml_that_is_refused() {
    expect(
        "name: clinic",
        "name: &a clinic",
        &["yaml-syntax project.yaml:2:10"],
    );
    expect(
        "name: clinic",
        "name: !x clinic",
        &["yaml-syntax project.yaml:2:10"],
    );
    expect(
        "name: clinic",
        "<<: { name: clinic }",
        &[
            "missing-field project.yaml:1:7",
            "yaml-syntax project.yaml:2:1",
        ],
    );
    expect(
        "version: 1\n",
        "version: 1\n---\nkind: Project\n",
        &["yaml-syntax project.yaml:5:1"],
    );
    expect(
        "version: 1",
        "version: [1",
        &["yaml-syntax project.yaml:3:10"],
    );
    expect(
        "version: 1",
        "version: \0",
        &["bad-encoding project.yaml:3:10"],
    );
    expect(
        "host: h",
        "host: h, password: hunter2",
        &["secret-in-clear his.yaml:4:31"],
    );
}

#[test]
fn options_are_read_by_their_connector() {
    let good =
        "host: h, password: { env: X }, tls: { verify: { ca: x } }, settings: { a: 1, b: 2.5 }";
    let (_, found) = with("host: h", good);
    assert!(found.is_empty(), "{}", found.render(false));
    expect(
        "host: h",
        "host: h, tls: of",
        &["wrong-value his.yaml:4:26"],
    );
    expect(
        "host: h",
        "host: h, tls: { verify: { cb: x } }",
        &["unknown-field his.yaml:4:38"],
    );
    expect(
        "host: h",
        "host: h, tls: verify",
        &["missing-field his.yaml:4:26"],
    );
    expect(
        "host: h",
        "host: h, settings: { a: x, b: y }",
        &["wrong-value his.yaml:4:36", "wrong-value his.yaml:4:42"],
    );
    expect(
        "host: h",
        "host: h, password: { env: X, file: y }",
        &["wrong-value his.yaml:4:21"],
    );
    expect(
        "host: h",
        "host: h, password: 5",
        &["secret-in-clear his.yaml:4:31", "wrong-value his.yaml:4:31"],
    );
    expect("host: h, ", "", &["missing-field his.yaml:4:1"]);
    expect(
        "options: { host: h, port: 1_433 }\n",
        "",
        &["missing-field his.yaml:3:12"],
    );
}

#[test]
fn environments_are_checked_whole() {
    let prod = "version: 1\nenvironments:\n  prod:\n    connections:\n";
    let his = "      his: { options: { host: p, prot: 1 } }\n      hers: { options: {} }\n";
    expect(
        "version: 1\n",
        &format!("{prod}{his}"),
        &[
            "unknown-field project.yaml:7:34",
            "unknown-connection project.yaml:8:7",
        ],
    );
    let mut files = good();
    files[0].1 =
        format!("kind: Project\nname: clinic\n{prod}      his: {{ options: {{ host: p }} }}\n");
    let files = files.into_iter();
    let files = files.map(|(path, text)| SourceFile {
        path: path.into(),
        bytes: text.into_bytes(),
    });
    let files: Vec<SourceFile> = files.collect();
    let (project, found, _) = check(files.clone(), Some("prod"), &Two);
    assert!(found.is_empty(), "{}", found.render(false));
    assert_eq!(
        project
            .unwrap()
            .connections
            .values()
            .next()
            .unwrap()
            .options["host"],
        "p"
    );
    assert_eq!(
        places(&check(files, Some("prd"), &Two).1),
        ["unknown-environment project.yaml:2:7"]
    );
}

#[test]
fn a_secret_is_not_shown() {
    for secret in [
        "password: hunter2, porrt: 1",
        "pasword: 1, token: hunter2",
        "password: 77, tls: of",
    ] {
        let (_, found) = with("host: h,", &format!("host: h, {secret},"));
        let text = found.render(false);
        assert!(text.contains("secret-in-clear"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("77"), "{text}");
    }
    let other = with(
        "host: h,",
        "\n  hosst: h\n  password: >-\n    hunter2\n    hunter3\n  port:",
    )
    .1;
    let text = other.render(false);
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn sql_in_yaml_has_exact_places() {
    let sql = "transform:\n      sql: |\n        select 1\n        from visitt\n";
    expect(
        "transform: { file: sql/visit_daily.sql }\n",
        sql,
        &["unknown-step visits.yaml:16:14"],
    );
    expect(
        "transform: { file: sql/visit_daily.sql }",
        "transform: { sql: 'select 1 from visitt' }",
        &["unknown-step visits.yaml:13:38"],
    );
    let folded = "transform:\n      sql: >\n        select 1\n        from visitt\n";
    let (_, found) = with("transform: { file: sql/visit_daily.sql }\n", folded);
    assert_eq!(found.iter().next().unwrap().code(), "unknown-step");
}

#[test]
fn circles_are_shown_whole() {
    let (_, found) = with(
        "    transform: { file",
        "    after: [publish]\n    transform: { file",
    );
    assert_eq!(places(&found), ["cycle visits.yaml:13:13"]);
    assert_eq!(found.to_json()[0]["labels"].as_array().unwrap().len(), 2);
}

#[test]
fn a_file_that_cannot_be_read_hides_what_may_be_in_it() {
    expect(
        "kind: Connection",
        "kind: [",
        &["yaml-syntax his.yaml:3:10"],
    );
}

#[test]
fn a_mistake_in_one_kind_hides_no_reference_to_another() {
    let mut files = good();
    files[0].1 = PROJECT.replace("name: clinic", "name: [clinic]");
    files[3].1 = VISITS
        .replace("connection: his", "connection: hs")
        .replace("domain: medicine", "domain: medicin");
    assert_eq!(
        places(&run(&files).1),
        [
            "unknown-domain visits.yaml:3:9",
            "unknown-connection visits.yaml:8:19",
            "wrong-value project.yaml:2:1",
        ]
    );
}

#[test]
fn a_namespace_has_one_owner() {
    let mut files = good();
    let again = MEDICINE.replace("name: medicine", "name: wards");
    files.push(("domains/wards/domain.yaml", again));
    assert_eq!(
        places(&run(&files).1),
        ["shared-namespace domain.yaml:3:12"]
    );
}

#[test]
fn names_mean_what_is_written() {
    expect(
        "from visit\n",
        "from Visit\n",
        &["unknown-step visit_daily.sql:3:6"],
    );
}

#[test]
fn rendering_shows_both_files() {
    let (_, found) = with("connection: his", "connection: hiss");
    let text = found.render(false);
    for part in [
        "error[unknown-connection]: no connection named `hiss`",
        "--> domains/medicine/pipelines/visits.yaml:8:19",
        "::: connections/his.yaml:2:7",
        "help: did you mean `his`?",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn schemas_refuse_unknown_keys() {
    for (name, schema) in crate::schemas() {
        assert_eq!(schema["additionalProperties"], false, "{name}");
        assert!(
            schema["properties"]["name"]["description"].is_string(),
            "{name}"
        );
    }
}
