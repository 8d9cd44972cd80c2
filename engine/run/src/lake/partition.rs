//! Reads `partition_by` and `sort_by`: `month(visit_date)`, `bucket(16, id)`, `visit_date desc`.

use std::fmt::Write as _;

use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{
    Literal, NestedFieldRef, NullOrder, PartitionField, PartitionSpec, PrimitiveLiteral, Schema,
    SortDirection, SortField, SortOrder, Struct, TableMetadata, Transform, Type,
    UnboundPartitionSpec,
};

/// How tables may be cut, for messages.
const FORMS: &str = "write a column, `year(c)`, `month(c)`, `day(c)`, `hour(c)`, `bucket(16, c)` or `truncate(4, c)`";

/// The partition spec that was written.
pub(super) fn partition_spec(written: &[String], schema: &Schema) -> Result<UnboundPartitionSpec> {
    let mut builder = UnboundPartitionSpec::builder();
    for text in written {
        let (transform, name) = parse(text)?;
        let field = column(schema, &name, text)?;
        transform.result_type(&field.field_type).map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{text}` does not go with the column's type"),
            )
            .with("type", super::schema::type_word(&field.field_type))
            .help(FORMS)
            .caused_by(error)
        })?;
        builder = builder
            .add_partition_field(field.id, field_name(transform, &name), transform)
            .map_err(|error| invalid(text).caused_by(error))?;
    }
    Ok(builder.build())
}

/// Whether a table is cut the way that was written.
pub(super) fn is_cut_by(spec: &PartitionSpec, written: &UnboundPartitionSpec) -> bool {
    let of = |source, transform: Transform| (source, transform);
    spec.fields()
        .iter()
        .map(|field| of(field.source_id, field.transform))
        .eq(written
            .fields()
            .iter()
            .map(|field| of(field.source_id, field.transform)))
}

/// How a table is cut, as it would be written.
pub(super) fn words(spec: &PartitionSpec, schema: &Schema) -> Vec<String> {
    let word = |field: &PartitionField| {
        let column = schema.name_by_field_id(field.source_id)?;
        Some(match field.transform {
            Transform::Identity => column.to_owned(),
            Transform::Bucket(size) => format!("bucket({size}, {column})"),
            Transform::Truncate(width) => format!("truncate({width}, {column})"),
            other => format!("{other}({column})"),
        })
    };
    spec.fields().iter().filter_map(word).collect()
}

/// How a table is sorted, as it would be written.
pub(super) fn sort_words(order: &SortOrder, schema: &Schema) -> Vec<String> {
    let word = |field: &SortField| {
        let column = schema.name_by_field_id(field.source_id)?;
        let column = match field.transform {
            Transform::Identity => column.to_owned(),
            other => format!("{other}({column})"),
        };
        let nulls = match (field.direction, field.null_order) {
            (SortDirection::Ascending, NullOrder::First)
            | (SortDirection::Descending, NullOrder::Last) => "",
            (_, NullOrder::First) => " nulls first",
            (_, NullOrder::Last) => " nulls last",
        };
        let direction = match field.direction {
            SortDirection::Ascending => "",
            SortDirection::Descending => " desc",
        };
        Some(format!("{column}{direction}{nulls}"))
    };
    order.fields.iter().filter_map(word).collect()
}

/// The sort order that was written; NULLs first when ascending, as Iceberg's other writers do.
pub(super) fn sort_order(written: &[String], schema: &Schema) -> Result<SortOrder> {
    let mut builder = SortOrder::builder();
    for text in written {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let direction = match words.next().map(str::to_ascii_lowercase).as_deref() {
            None | Some("asc") => SortDirection::Ascending,
            Some("desc") => SortDirection::Descending,
            Some(_) => return Err(unsortable(text)),
        };
        if words.next().is_some() {
            return Err(unsortable(text));
        }
        let field = column(schema, name, text)?;
        if !matches!(field.field_type.as_ref(), Type::Primitive(_)) {
            return Err(unsortable(text));
        }
        builder.with_sort_field(SortField {
            source_id: field.id,
            transform: Transform::Identity,
            direction,
            null_order: match direction {
                SortDirection::Ascending => NullOrder::First,
                SortDirection::Descending => NullOrder::Last,
            },
        });
    }
    builder.build(schema).map_err(|error| {
        Error::new(
            ErrorKind::InvalidInput,
            "the sort order does not fit the table",
        )
        .caused_by(error)
    })
}

fn unsortable(text: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("`{text}` is not a way to sort a table"),
    )
    .help("write a column, or `column desc`")
}

/// `month(visit_date)` as a transform and a column.
fn parse(text: &str) -> Result<(Transform, String)> {
    let text = text.trim();
    let Some((function, rest)) = text.split_once('(') else {
        return Ok((Transform::Identity, text.to_owned()));
    };
    let inside = rest.strip_suffix(')').ok_or_else(|| invalid(text))?;
    let function = function.trim().to_ascii_lowercase();
    let one = |transform| Ok((transform, inside.trim().to_owned()));
    match function.as_str() {
        "identity" => one(Transform::Identity),
        "year" | "years" => one(Transform::Year),
        "month" | "months" => one(Transform::Month),
        "day" | "days" => one(Transform::Day),
        "hour" | "hours" => one(Transform::Hour),
        "bucket" | "truncate" => {
            let (size, name) = inside.split_once(',').ok_or_else(|| invalid(text))?;
            let size: u32 = size.trim().parse().map_err(|_| invalid(text))?;
            if size == 0 {
                return Err(invalid(text));
            }
            let bucket = function == "bucket";
            let transform = if bucket {
                Transform::Bucket(size)
            } else {
                Transform::Truncate(size)
            };
            Ok((transform, name.trim().to_owned()))
        }
        _ => Err(invalid(text)),
    }
}

fn invalid(text: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("`{text}` is not a way to partition a table"),
    )
    .help(FORMS)
}

fn column<'a>(schema: &'a Schema, name: &str, text: &str) -> Result<&'a NestedFieldRef> {
    schema.field_by_name(name).ok_or_else(|| {
        let names = schema.as_struct().fields().iter();
        let names: Vec<&str> = names.map(|field| field.name.as_str()).collect();
        Error::new(
            ErrorKind::InvalidInput,
            format!("`{text}` names no column of the table"),
        )
        .help(format!("the columns are `{}`", names.join("`, `")))
    })
}

/// The name of a partition field, as Spark and `PyIceberg` give it, but with letters that manifests can have: one of
/// others is written and cannot be read again.
fn field_name(transform: Transform, column: &str) -> String {
    let column = &avro_name(column);
    match transform {
        Transform::Year => format!("{column}_year"),
        Transform::Month => format!("{column}_month"),
        Transform::Day => format!("{column}_day"),
        Transform::Hour => format!("{column}_hour"),
        Transform::Bucket(size) => format!("{column}_bucket_{size}"),
        Transform::Truncate(width) => format!("{column}_trunc_{width}"),
        _ => column.to_owned(),
    }
}

/// A name as Avro takes it: other characters become `_xF6`, as they do for Iceberg's other writers.
fn avro_name(name: &str) -> String {
    let mut fitting = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '0'..='9' if fitting.is_empty() => {
                fitting.push('_');
                fitting.push(character);
            }
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => fitting.push(character),
            other => {
                let _ = write!(fitting, "_x{:X}", u32::from(other));
            }
        }
    }
    fitting
}

/// Partition values as those of the widest type that their columns may get: files may be older than a wider type.
pub(super) fn widened(partition: &Struct) -> Struct {
    let widen = |value: Option<&Literal>| {
        Some(match value? {
            Literal::Primitive(PrimitiveLiteral::Int(value)) => Literal::long(i64::from(*value)),
            Literal::Primitive(PrimitiveLiteral::Float(value)) => {
                Literal::double(f64::from(value.0))
            }
            other => other.clone(),
        })
    };
    partition.iter().map(widen).collect()
}

/// Refuses to write files whose partitions have names that manifests cannot have: others may have made such a table.
pub(super) fn require_names(spec: &PartitionSpec) -> Result<()> {
    let mut fields = spec.fields().iter();
    match fields.find(|field| avro_name(&field.name) != field.name) {
        None => Ok(()),
        Some(field) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the table has partitions by the name of `{}`, which cannot be written", field.name),
        )
        .help("rename the partition field so that it has only letters from a to z, digits and `_`, and begins with no digit")),
    }
}

/// Refuses columns that get the name of partitions of another column, which Iceberg does not allow.
pub(super) fn require_free_names(metadata: &TableMetadata, columns: &Schema) -> Result<()> {
    let known = |name: &str| {
        metadata
            .schemas_iter()
            .any(|one| one.field_by_name(name).is_some())
    };
    let now = metadata.default_partition_spec().spec_id();
    for spec in metadata.partition_specs_iter() {
        for cut in spec.fields() {
            let Some(column) = columns.field_by_name(&cut.name) else {
                continue;
            };
            let own = column.id == cut.source_id && cut.transform == Transform::Identity;
            if !own && (spec.spec_id() == now || !known(&cut.name)) {
                let of = columns
                    .name_by_field_id(cut.source_id)
                    .unwrap_or("another column");
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    format!(
                        "no column can be named `{}`: the partitions by `{of}` have that name",
                        cut.name
                    ),
                )
                .help("give the column another name in a transform"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use iceberg::spec::{NestedField, PrimitiveType};

    use super::*;

    fn schema() -> Schema {
        let fields = [
            ("id", PrimitiveType::Long),
            ("at", PrimitiveType::Timestamptz),
            ("s", PrimitiveType::String),
        ];
        let fields = fields.into_iter().zip(1..).map(|((name, type_), id)| {
            Arc::new(NestedField::optional(id, name, Type::Primitive(type_)))
        });
        Schema::builder().with_fields(fields).build().unwrap()
    }

    fn written(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn every_form_is_read() {
        let texts = written(&["month(at)", "bucket( 16 , id )", "truncate(4, s)", "id"]);
        let spec = partition_spec(&texts, &schema()).unwrap();
        let fields: Vec<_> = spec
            .fields()
            .iter()
            .map(|f| (f.name.as_str(), f.transform, f.source_id))
            .collect();
        assert_eq!(
            fields,
            [
                ("at_month", Transform::Month, 2),
                ("id_bucket_16", Transform::Bucket(16), 1),
                ("s_trunc_4", Transform::Truncate(4), 3),
                ("id", Transform::Identity, 1),
            ]
        );
    }

    #[test]
    fn what_is_no_partition_says_so() {
        for text in [
            "week(at)",
            "bucket(id)",
            "bucket(0, id)",
            "month(at",
            "month(nothing)",
            "month(s)",
        ] {
            let error = partition_spec(&written(&[text]), &schema()).unwrap_err();
            assert!(error.message().contains(text), "{error}");
            assert!(error.help_text().is_some());
        }
    }

    #[test]
    fn partitions_have_names_that_manifests_can_have() {
        for (column, name) in [
            ("größe", "gr_xF6_xDFe_bucket_3"),
            ("2nd one", "_2nd_x20one_bucket_3"),
            ("id", "id_bucket_3"),
        ] {
            assert_eq!(field_name(Transform::Bucket(3), column), name);
        }
    }

    #[test]
    fn sort_orders_are_read() {
        let order = sort_order(&written(&["at desc", "id"]), &schema()).unwrap();
        assert_eq!(order.fields[0].direction, SortDirection::Descending);
        assert_eq!(order.fields[1].null_order, NullOrder::First);
        assert!(sort_order(&written(&["id sideways"]), &schema()).is_err());
    }
}
