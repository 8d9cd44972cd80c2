//! Bad specs and what `validate` says about them.
//!
//! A folder of `tests/ui` is a project with one defect, and its `expected.txt` the whole answer; a folder named `good-…`
//! must be clean. `LAKEWRIGHT_BLESS=1` writes the answers anew: read the difference before you commit it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "this is test code: failing is its way of telling, and the variable asks for new answers"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::services::lakewright;

/// What the process ends with when there are findings.
const FINDINGS: i32 = 3;

/// Fewer cases than this would mean that the folder was not found.
const AT_LEAST: usize = 100;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ui")
}

/// What `validate` prints and ends with.
fn validate(project: &str) -> (String, Option<i32>) {
    let mut command = lakewright();
    command
        .current_dir(folder())
        .args(["validate", "--project", project]);
    let output = command.output().expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.is_empty(),
        "`{project}` makes it write to stderr:\n{stderr}"
    );
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.status.code(),
    )
}

/// What is wrong with one case; nothing when it is as expected.
fn judge(case: &str, bless: bool) -> Option<String> {
    let (answer, code) = validate(case);
    let good = case.starts_with("good-");
    let fits = if good {
        code == Some(0) && answer.ends_with("no findings\n")
    } else {
        code == Some(FINDINGS)
    };
    if !fits {
        return Some(format!("`{case}` ends with {code:?}:\n{answer}"));
    }
    if good {
        return None;
    }
    let file = folder().join(case).join("expected.txt");
    if bless {
        std::fs::write(&file, &answer).expect("an answer can be written");
        return None;
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    (answer != expected).then(|| format!("`{case}` expected:\n{expected}\nbut got:\n{answer}"))
}

#[test]
fn every_bad_spec_gets_its_answer() {
    let bless = std::env::var_os("LAKEWRIGHT_BLESS").is_some();
    let mut cases: Vec<String> = std::fs::read_dir(folder())
        .expect("tests/ui is there")
        .map(|entry| entry.expect("it can be listed"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    cases.sort();
    assert!(
        cases.len() >= AT_LEAST,
        "only {} cases in {}",
        cases.len(),
        folder().display()
    );
    let wrong: Vec<String> = cases.iter().filter_map(|case| judge(case, bless)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cases\n\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// A secret that stands in a spec stays there: the finding about it does not show it to whoever reads the log.
#[test]
fn no_answer_repeats_a_secret() {
    for (case, secret) in [
        ("secret-password", "hunter2"),
        ("secret-key-of-s3", "wJalrXUtnFEMI"),
        ("secret-token-of-catalog", "eyJhbGciOi"),
        ("several-findings", "hunter2"),
    ] {
        let (answer, _) = validate(case);
        assert!(
            !answer.contains(secret),
            "`{case}` shows its secret:\n{answer}"
        );
    }
}

/// Written here and not kept as a file: ten megabytes say no more than their size.
#[test]
fn a_spec_of_ten_megabytes_is_refused_at_once() {
    let project = tempfile::tempdir().expect("a folder for the test");
    let mut text = String::from("kind: Project\nname: big\nversion: 1\ndescription: |\n");
    while text.len() < 10 << 20 {
        let _ = writeln!(text, "  {}", "x".repeat(1000));
    }
    std::fs::write(project.path().join("project.yaml"), text).expect("the spec can be written");
    let started = Instant::now();
    let (answer, code) = validate(&project.path().to_string_lossy());
    assert_eq!(code, Some(FINDINGS), "{answer}");
    assert!(
        answer.contains("error[too-large]") && answer.contains("project.yaml"),
        "{answer}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        started.elapsed()
    );
}
