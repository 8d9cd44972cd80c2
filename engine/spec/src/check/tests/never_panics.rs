//! Whatever the files hold, there is an answer.

use proptest::prelude::*;

use super::two::Two;
use super::{check, good};
use crate::source::SourceFile;

fn run(files: Vec<(String, Vec<u8>)>) {
    let files = files
        .into_iter()
        .map(|(path, bytes)| SourceFile { path, bytes })
        .collect();
    let (project, found, _) = check(files, Some("prod"), &Two);
    // An environment that is not there is always a finding.
    assert!(project.is_none() && !found.is_empty());
    let _ = (found.render(true), found.to_json());
}

fn owned() -> Vec<(String, Vec<u8>)> {
    good()
        .into_iter()
        .map(|(path, text)| (path.to_owned(), text.into_bytes()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), end in "[a-z]{1,3}\\.(yaml|sql)") {
        let mut files = owned();
        files.push((end, bytes));
        run(files);
    }

    #[test]
    fn on_any_yaml(text in "([ \\-:{}\\[\\]\"'|>&*!#,\n]|kind|name|Pipeline|steps|load|é){0,60}") {
        let mut files = owned();
        files.push(("x.yaml".to_owned(), text.into_bytes()));
        run(files);
    }

    #[test]
    fn on_changed_specs(changes in proptest::collection::vec((any::<u8>(), any::<u16>(), 0_u8..6, any::<u8>()), 1..5)) {
        let mut files = owned();
        let count = files.len();
        for (file, at, what, byte) in changes {
            let bytes = &mut files[usize::from(file) % count].1;
            let at = usize::from(at) % (bytes.len() + 1);
            match what {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at.saturating_sub(usize::from(byte) / 4)..at)),
                3 => bytes.insert(at, b" :-[]{}|>'\"\n#"[usize::from(byte) % 12]),
                4 => {
                    let copy = bytes[..at].to_vec();
                    bytes.extend(copy);
                }
                _ => bytes.reverse(),
            }
        }
        run(files);
    }
}
