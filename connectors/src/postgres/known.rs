//! Rows that were read before: which staged rows the target has already.
//!
//! Pure: writes a condition. The two halves mean `IS NOT DISTINCT FROM`, which a server can only answer by comparing every
//! row with every other; equality alone it answers by a hash.

use super::sql;
use crate::contract::KnownBy;

/// The condition that a staged row `s` is not in `target`, where `staged` is the relation that `s` stands for.
pub(super) fn is_new(known: &KnownBy, target: &str, staged: &str) -> String {
    let names: Vec<_> = known.key.iter().map(|name| sql::identifier(name)).collect();
    let all = |operator: &str| {
        let parts = names
            .iter()
            .map(|name| format!("t.{name} {operator} s.{name}"));
        parts.collect::<Vec<_>>().join(" AND ")
    };
    let nulls: Vec<_> = names
        .iter()
        .map(|name| format!("s.{name} IS NULL"))
        .collect();
    let watermark = sql::identifier(&known.watermark);
    format!(
        "NOT EXISTS (SELECT 1 FROM {target} AS t WHERE {} \
           AND t.{watermark} >= (SELECT {watermark} FROM {staged} WHERE {watermark} IS NOT NULL ORDER BY 1 LIMIT 1)) \
         AND NOT (({}) AND EXISTS (SELECT 1 FROM {target} AS t WHERE {}))",
        all("="),
        nulls.join(" OR "),
        all("IS NOT DISTINCT FROM"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_nulls_is_compared_apart() {
        let known = KnownBy {
            key: vec!["id".to_owned(), "at".to_owned()],
            watermark: "at".to_owned(),
        };
        let condition = is_new(&known, "\"t\"", "stage AS s");
        assert!(
            condition.contains(r#"t."id" = s."id" AND t."at" = s."at""#),
            "{condition}"
        );
        assert!(
            condition.contains(r#"(s."id" IS NULL OR s."at" IS NULL) AND EXISTS"#),
            "{condition}"
        );
    }
}
