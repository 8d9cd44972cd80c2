//! The architecture, held against the source: who may know what, and how large things may get.

use std::fs;
use std::path::{Path, PathBuf};

/// A word that only some places may write in code, and those places, as the beginnings of paths.
const KNOWN_ONLY_BY: &[(&str, &[&str])] = &[
    ("serde_saphyr", &["engine/spec/src/yaml.rs"]),
    ("petgraph", &["engine/spec/src/graph.rs"]),
    ("cron::", &["engine/spec/src/model/schedule"]),
    ("annotate_snippets", &["engine/spec/src/render.rs"]),
    ("iceberg::", &["engine/run/src/lake/"]),
    ("iceberg_catalog_rest", &["engine/run/src/lake/"]),
    (
        "datafusion::",
        &[
            "engine/run/src/query/",
            "engine/run/src/execute/",
            "engine/run/src/lake/",
            "engine/run/src/facts.rs",
            "tests/it/",
        ],
    ),
    (
        "sqlx::",
        &[
            "engine/run/src/state/",
            "engine/run/src/sqlite_file.rs",
            "engine/run/src/lake/",
            "engine/run/src/sqlite_file.rs",
            "tests/it/",
        ],
    ),
    ("tokio_postgres", &[]),
    ("Utc::now", &["engine/run/src/clock.rs"]),
    (
        "std::env::var",
        &["engine/cli/src/", "engine/run/src/secret.rs", "tests/it/"],
    ),
    ("clap::", &["engine/cli/src/"]),
    ("indicatif", &["engine/cli/src/"]),
    ("spec::", &["engine/", "tests/it/"]),
    (
        "connectors::",
        &[
            "engine/run/",
            "engine/cli/",
            "connectors/src/secret.rs",
            "engine/spec/src/lib.rs",
            "tests/it/",
        ],
    ),
    ("run::", &["engine/cli/", "tests/it/"]),
];

/// Lines of a file without its tests.
const MAX_FILE_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the project")
        .to_owned()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// Every source file: its path from the root, and its code without comments and tests.
fn code() -> Vec<(String, Vec<String>)> {
    let root = root();
    let mut paths = Vec::new();
    for folder in [
        "connectors/src",
        "engine/spec/src",
        "engine/run/src",
        "engine/cli/src",
        "tests/it",
    ] {
        sources(&root.join(folder), &mut paths);
    }
    paths.sort();
    assert!(paths.len() > 50, "the sources were not found");
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a source file");
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
        let name = path
            .strip_prefix(&root)
            .expect("below the root")
            .to_string_lossy()
            .into_owned();
        (name, lines.map(str::to_owned).collect())
    };
    paths.iter().map(read).collect()
}

/// Whether a line of code mentions a word that begins a path or name, and not the end of another word.
fn mentions(line: &str, word: &str) -> bool {
    let code = line.trim_start();
    if code.starts_with("//") || code.starts_with('"') {
        return false;
    }
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '`')
    })
}

#[test]
fn each_thing_is_known_only_where_it_may_be() {
    let mut wrong = Vec::new();
    for (path, lines) in code() {
        for (word, places) in KNOWN_ONLY_BY {
            if path == "tests/it/tidy.rs" || places.iter().any(|place| path.starts_with(place)) {
                continue;
            }
            for (number, line) in lines
                .iter()
                .enumerate()
                .filter(|(_, line)| mentions(line, word))
            {
                wrong.push(format!(
                    "{path}:{}: `{word}` is not for this place: {}",
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_stay_small_enough_to_be_read() {
    let long: Vec<String> = code()
        .into_iter()
        .filter(|(_, lines)| lines.len() > MAX_FILE_LINES)
        .map(|(path, lines)| format!("{path}: {} lines", lines.len()))
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> = code()
        .into_iter()
        .filter(|(_, lines)| !lines.first().is_some_and(|line| line.starts_with("//!")))
        .map(|(path, _)| path)
        .collect();
    assert!(
        silent.is_empty(),
        "no `//!` at the top of\n{}",
        silent.join("\n")
    );
}
