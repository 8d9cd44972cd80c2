//! `bad-partition`, `bad-sort`: how a table of the lake is laid out.

use super::context::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::read::{At, nearest};
use crate::sql::is_column;

pub(crate) const BAD_PARTITION: Code = Code {
    name: "bad-partition",
    explain: "A partition field is a column or a transform of one: `region`, `year(at)`, `month(at)`, `day(at)`, `hour(at)`, \
              `bucket(16, id)`, `truncate(10, name)`.",
};
pub(crate) const BAD_SORT: Code = Code {
    name: "bad-sort",
    explain: "A sort field is a column, and may say `asc` or `desc`, and `nulls first` or `nulls last`: `amount desc nulls last`.",
};

const TRANSFORMS: [&str; 6] = ["bucket", "day", "hour", "month", "truncate", "year"];

/// The fields that are well-formed; others are reported.
pub(super) fn partition_by(context: &Context<'_>, written: &[At<String>]) -> Vec<String> {
    for field in written {
        let Err(problem) = partition(field) else {
            continue;
        };
        let message = format!("`{}` is no partition field", field.value);
        let finding = Diagnostic::error(&BAD_PARTITION, field.span, message);
        context.report(match problem {
            Problem::Transform(name) => match nearest(&name, TRANSFORMS) {
                Some(near) => finding.suggest(&field.replacen(&name, near, 1)),
                None => finding.help("known: `year`, `month`, `day`, `hour`, `bucket`, `truncate`"),
            },
            Problem::Form => finding.help("write `column`, `month(column)`, `bucket(16, column)`"),
        });
    }
    written.iter().map(|field| field.value.clone()).collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Transform(String),
    Form,
}

fn partition(text: &str) -> Result<(), Problem> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('(') else {
        return if is_column(text) {
            Ok(())
        } else {
            Err(Problem::Form)
        };
    };
    let name = name.trim();
    if !TRANSFORMS.contains(&name) {
        return Err(Problem::Transform(name.to_owned()));
    }
    let arguments: Vec<&str> = rest
        .strip_suffix(')')
        .ok_or(Problem::Form)?
        .split(',')
        .map(str::trim)
        .collect();
    let good = match (name, arguments.as_slice()) {
        ("bucket" | "truncate", [number, column]) => {
            number.parse::<u32>().is_ok_and(|n| n > 0) && is_column(column)
        }
        ("bucket" | "truncate", _) => false,
        (_, [column]) => is_column(column),
        _ => false,
    };
    if good { Ok(()) } else { Err(Problem::Form) }
}

/// The fields that are well-formed; others are reported.
pub(super) fn sort_by(context: &Context<'_>, written: &[At<String>]) -> Vec<String> {
    for field in written.iter().filter(|field| !sort(field)) {
        let message = format!("`{}` is no sort field", field.value);
        let finding = Diagnostic::error(&BAD_SORT, field.span, message);
        context.report(finding.help("write `column`, `column desc` or `column asc nulls last`"));
    }
    written.iter().map(|field| field.value.clone()).collect()
}

fn sort(text: &str) -> bool {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let Some((column, rest)) = words.split_first() else {
        return false;
    };
    let rest = match rest.split_first() {
        Some((word, rest)) if word == "asc" || word == "desc" => rest,
        _ => rest,
    };
    let nulls = rest.is_empty()
        || matches!(rest, [first, second] if first == "nulls" && (second == "first" || second == "last"));
    is_column(column) && nulls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        for good in ["a", "month(a)", "bucket(16, id)", "truncate( 4 , name )"] {
            assert_eq!(partition(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a b",
            "month()",
            "month(a",
            "bucket(id)",
            "bucket(0, id)",
            "day(a, b)",
        ] {
            assert_eq!(partition(bad), Err(Problem::Form), "{bad}");
        }
        assert_eq!(partition("mnth(a)"), Err(Problem::Transform("mnth".into())));
        assert!(sort("a") && sort("a DESC") && sort("a nulls first") && sort("a asc nulls last"));
        assert!(!sort("") && !sort("a down") && !sort("a nulls") && !sort("1a"));
    }
}
