//! The sentences of DataFusion's planner in our words.
//!
//! It tells most faults by text alone. A sentence that is not known here is passed on with our names for types, and
//! without the names of its own catalog.

use spec::{SqlFault, SqlFaultKind};

/// What DataFusion calls the place of tables that have no namespace, and the place of all others.
const OWN_NAMES: [&str; 2] = ["datafusion.public.", "datafusion."];

/// Names of types that are words, and ours.
const TYPES: &[(&str, &str)] = &[
    ("Binary", "binary"),
    ("BinaryView", "binary"),
    ("Boolean", "boolean"),
    ("Date32", "date"),
    ("Date64", "date"),
    ("Decimal128", "decimal"),
    ("Decimal256", "decimal"),
    ("Float32", "float"),
    ("Float64", "double"),
    ("Int16", "int"),
    ("Int32", "int"),
    ("Int64", "long"),
    ("Int8", "int"),
    ("LargeBinary", "binary"),
    ("LargeUtf8", "string"),
    ("Null", "null"),
    ("UInt16", "int"),
    ("UInt32", "long"),
    ("UInt64", "long"),
    ("UInt8", "int"),
    ("Utf8", "string"),
    ("Utf8View", "string"),
];

/// What a sentence says.
pub(super) fn read(text: &str) -> SqlFault {
    no_table(text)
        .or_else(|| no_qualifier(text))
        .or_else(|| no_function(text))
        .or_else(|| call(text))
        .or_else(|| operands(text))
        .or_else(|| predicate(text))
        .or_else(|| not_grouped(text))
        .or_else(|| same_name(text))
        .or_else(|| no_query(text))
        .or_else(|| bad_value(text))
        .unwrap_or_else(|| SqlFault::new(SqlFaultKind::Meaning, plain(text)))
}

/// The part of a text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

fn no_table(text: &str) -> Option<SqlFault> {
    let name = between(text, "table '", "' not found")?;
    let name = own_names_out(name);
    Some(SqlFault {
        about: Some(name.clone()),
        ..SqlFault::new(
            SqlFaultKind::UnknownTable,
            format!("there is no table `{name}`"),
        )
    })
}

/// `o.*` where nothing is named `o`.
fn no_qualifier(text: &str) -> Option<SqlFault> {
    let name = first_line(text).strip_prefix("Invalid qualifier ")?;
    Some(SqlFault {
        about: Some(name.to_owned()),
        ..SqlFault::new(
            SqlFaultKind::UnknownColumn,
            format!("nothing that is read here is named `{name}`"),
        )
    })
}

fn no_function(text: &str) -> Option<SqlFault> {
    let name = between(text, "Invalid function '", "'")?;
    // It always proposes something; what is not alike does not help.
    let near = between(text, "Did you mean '", "'").and_then(|near| spec::nearest(name, [near]));
    Some(SqlFault {
        about: Some(name.to_owned()),
        suggestion: near.map(str::to_owned),
        help: Some("the functions are those of DataFusion".to_owned()),
        ..SqlFault::new(
            SqlFaultKind::UnknownFunction,
            format!("there is no function `{name}`"),
        )
    })
}

fn call(text: &str) -> Option<SqlFault> {
    let called = between(
        text,
        "No function matches the given name and argument types '",
        "'",
    )?;
    let (name, arguments) = called.split_once('(')?;
    let arguments = types(arguments.trim_end_matches(')'));
    Some(SqlFault {
        about: Some(name.to_owned()),
        help: Some("convert what it is given: `CAST(… AS …)`".to_owned()),
        ..SqlFault::new(
            SqlFaultKind::Types,
            if arguments.is_empty() {
                format!("`{name}` cannot be called without arguments")
            } else {
                format!("`{name}` cannot be called with ({arguments})")
            },
        )
    })
}

fn operands(text: &str) -> Option<SqlFault> {
    const SENTENCES: &[(&str, &str)] = &[
        ("for comparison operation ", ""),
        ("for logical boolean operation ", ""),
        ("for regex operation ", ""),
        ("for bitwise operation ", ""),
        ("for string concat operation ", ""),
        ("argument type for operation ", ""),
        ("for AtAt operation ", ""),
        ("Cannot coerce arithmetic expression ", " to valid types"),
        ("Cannot get result type for temporal operation ", ": "),
        ("Cannot get result type for decimal operation ", ": "),
        ("Cannot get result type for arithmetic operation ", ": "),
    ];
    let expression = SENTENCES.iter().find_map(|(before, after)| {
        let (_, rest) = text.split_once(before)?;
        let end = if after.is_empty() {
            rest.len()
        } else {
            rest.find(after)?
        };
        rest.get(..end)
    })?;
    let expression = types(first_line(expression));
    Some(SqlFault {
        help: Some("convert one side: `CAST(… AS …)`".to_owned()),
        ..SqlFault::new(
            SqlFaultKind::Types,
            format!("these types do not go together: `{expression}`"),
        )
    })
}

fn predicate(text: &str) -> Option<SqlFault> {
    text.strip_prefix("Cannot create filter with non-boolean predicate")?;
    let (_, r#type) = text.rsplit_once(" returning ")?;
    Some(super::fault::no_condition(r#type))
}

fn not_grouped(text: &str) -> Option<SqlFault> {
    let column = between(text, "column \"", "\" must appear in the GROUP BY clause")?;
    let name = column.rsplit('.').next().unwrap_or(column);
    Some(SqlFault {
        about: Some(name.to_owned()),
        help: Some(format!(
            "add it to `GROUP BY`, or say which of its values is meant: `max({name})`"
        )),
        ..SqlFault::new(
            SqlFaultKind::NotGrouped,
            format!("`{name}` is neither grouped by nor in an aggregate function"),
        )
    })
}

fn same_name(text: &str) -> Option<SqlFault> {
    let (_, rest) = text.split_once(" require unique expression names but the expression \"")?;
    let (_, rest) = rest.split_once(" and \"")?;
    let (second, _) = rest.split_once("\" at position")?;
    let name = second.rsplit('.').next().unwrap_or(second);
    let name = name.rsplit(" AS ").next().unwrap_or(name);
    Some(super::fault::duplicate(name))
}

fn no_query(text: &str) -> Option<SqlFault> {
    let message = if text.contains("only supports a single SQL statement") {
        "there is more than one statement here"
    } else if ["DDL not supported", "DML not supported"]
        .iter()
        .any(|start| text.starts_with(start))
    {
        "this would change something, and a query only reads"
    } else if text.starts_with("Statement not supported") {
        "this is no query"
    } else {
        return None;
    };
    Some(SqlFault {
        help: Some("write one `SELECT …` or `WITH … SELECT …`".to_owned()),
        ..SqlFault::new(SqlFaultKind::NotAQuery, message)
    })
}

/// A value that the query itself names, and that is none of its type.
fn bad_value(text: &str) -> Option<SqlFault> {
    let value = super::value::said(text)?;
    Some(SqlFault {
        help: Some("correct the value, or what it is made into".to_owned()),
        ..SqlFault::new(SqlFaultKind::Types, value.to_string())
    })
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim()
}

fn own_names_out(text: &str) -> String {
    OWN_NAMES
        .iter()
        .fold(text.to_owned(), |text, own| text.replace(own, ""))
}

/// A sentence in our way of writing.
pub(super) fn plain(text: &str) -> String {
    let text = types(&own_names_out(first_line(text)));
    // Some sentences end in what the parser made of the text.
    let told = text.find("Ident {").and_then(|at| text.get(..at));
    let told = told
        .and_then(|told| told.rsplit_once(": "))
        .map(|(told, _)| told);
    let text = told.unwrap_or(&text).trim_end_matches(['.', '!']);
    let starts = text.chars().take_while(|c| c.is_uppercase()).count();
    let mut chars = text.chars();
    match chars.next() {
        // `GROUP BY …` stays what it is.
        Some(first) if starts == 1 => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// A text with the names of types in the words of plans.
pub(super) fn types(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end.max(first.len_utf8()));
        rest = after;
        let inside = after
            .strip_prefix('(')
            .and_then(|after| after.split_once(')'));
        match (word, inside) {
            ("Timestamp", Some((zone, after))) => {
                let zoned = zone.contains('"');
                out.push_str(if zoned { "timestamptz" } else { "timestamp" });
                rest = after;
            }
            ("Interval", Some((_, after))) => {
                out.push_str("interval");
                rest = after;
            }
            _ => {
                let ours = TYPES.iter().find(|(theirs, _)| *theirs == word);
                out.push_str(ours.map_or(word, |(_, ours)| ours));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_plans() {
        assert_eq!(
            types("Utf8View = Timestamp(µs, \"UTC\")"),
            "string = timestamptz"
        );
        assert_eq!(types("Decimal128(10, 2) + Date32"), "decimal(10, 2) + date");
    }

    #[test]
    fn no_sentence_names_what_nobody_wrote() {
        let fault = read("table 'datafusion.public.t' not found");
        assert_eq!(fault.message, "there is no table `t`");
        let fault = read("Access not supported for expr: Identifier(Ident { value: \"b\" })");
        assert_eq!(fault.message, "access not supported for expr");
        let fault = read("Something odd about datafusion.d.t.\nThis issue was likely caused by");
        assert_eq!(fault.message, "something odd about d.t");
    }

    #[test]
    fn known_sentences_are_told_in_our_words() {
        for (text, told) in [
            (
                "Cannot coerce arithmetic expression Utf8 + Date32 to valid types",
                "these types do not go together: `string + date`",
            ),
            (
                "Cannot create filter with non-boolean predicate 't.a' returning Int64",
                "a condition must be true or false, and this is a `long`",
            ),
            (
                "Projections require unique expression names but the expression \"t.a\" at position 0 and \"t.b AS a\" at position 1 have the same name. Consider",
                "two columns of the answer are named `a`",
            ),
            (
                "x No function matches the given name and argument types 'sum(Utf8)'. You might",
                "`sum` cannot be called with (string)",
            ),
        ] {
            assert_eq!(read(text).message, told);
        }
    }
}
