//! Arrow types as Iceberg types, and Iceberg types as words.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema as ArrowSchema};
use connectors::{Error, ErrorKind, Result};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, PrimitiveType, Schema, StructType, Type,
};

use super::Column;
use crate::lake::failure::failed;

/// Where Arrow keeps the name of an extension type.
const EXTENSION: &str = "ARROW:extension:name";
/// The extension type of UUIDs.
const UUID_EXTENSION: &str = "arrow.uuid";
/// The digits of the largest unsigned 64-bit integer.
const UINT64_DIGITS: u32 = 20;

/// Columns for a table that does not have them yet, with identifiers from `next` on.
pub(in crate::lake) fn fresh(fields: &Fields, next: i32) -> Result<Vec<NestedFieldRef>> {
    Ids { next }.fields(fields, "")
}

/// Gives out identifiers: all fields of one level, then those inside each, as Iceberg does.
struct Ids {
    next: i32,
}

impl Ids {
    fn take(&mut self) -> i32 {
        let id = self.next;
        self.next += 1;
        id
    }

    fn fields(&mut self, fields: &Fields, path: &str) -> Result<Vec<NestedFieldRef>> {
        let mut ids: VecDeque<i32> = fields.iter().map(|_| self.take()).collect();
        let mut result = Vec::with_capacity(fields.len());
        for field in fields {
            let id = ids.pop_front().unwrap_or_default();
            let path = format!("{path}{}", field.name());
            let type_ = self.type_of(field, &path)?;
            result.push(Arc::new(NestedField::new(
                id,
                field.name(),
                type_,
                !field.is_nullable(),
            )));
        }
        Ok(result)
    }

    fn type_of(&mut self, field: &Field, path: &str) -> Result<Type> {
        match field.data_type() {
            DataType::Struct(fields) => Ok(Type::Struct(StructType::new(
                self.fields(fields, &format!("{path}."))?,
            ))),
            DataType::List(element)
            | DataType::LargeList(element)
            | DataType::ListView(element)
            | DataType::LargeListView(element)
            | DataType::FixedSizeList(element, _) => self.list(element, path),
            DataType::Map(entries, _) => self.map(entries, path),
            DataType::Dictionary(_, values) => {
                let values = Field::new(field.name(), values.as_ref().clone(), field.is_nullable());
                self.type_of(&values, path)
            }
            _ => primitive(field)
                .map(Type::Primitive)
                .ok_or_else(|| unsupported(field, path)),
        }
    }

    fn list(&mut self, element: &FieldRef, path: &str) -> Result<Type> {
        let id = self.take();
        let type_ = self.type_of(element, &format!("{path}.element"))?;
        let element = NestedField::list_element(id, type_, !element.is_nullable());
        Ok(Type::List(ListType::new(Arc::new(element))))
    }

    fn map(&mut self, entries: &FieldRef, path: &str) -> Result<Type> {
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(unsupported(entries, path));
        };
        let [key, value] = fields.as_ref() else {
            return Err(unsupported(entries, path));
        };
        let (key_id, value_id) = (self.take(), self.take());
        let key_type = self.type_of(key, &format!("{path}.key"))?;
        let value_type = self.type_of(value, &format!("{path}.value"))?;
        let value = NestedField::map_value_element(value_id, value_type, !value.is_nullable());
        let key = NestedField::map_key_element(key_id, key_type);
        Ok(Type::Map(MapType::new(Arc::new(key), Arc::new(value))))
    }
}

/// The Iceberg type of a column without parts. Times are kept to the microsecond, the finest that tables of format 2
/// hold; a zone other than UTC is the same instant in UTC.
fn primitive(field: &Field) -> Option<PrimitiveType> {
    Some(match field.data_type() {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            PrimitiveType::Int
        }
        DataType::Int64 | DataType::UInt32 => PrimitiveType::Long,
        DataType::UInt64 => PrimitiveType::Decimal {
            precision: UINT64_DIGITS,
            scale: 0,
        },
        DataType::Float16 | DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => PrimitiveType::Decimal {
            precision: u32::from(*precision),
            scale: u32::try_from(*scale).ok()?,
        },
        DataType::Date32 | DataType::Date64 => PrimitiveType::Date,
        DataType::Time32(_) | DataType::Time64(_) => PrimitiveType::Time,
        DataType::Timestamp(_, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(_, Some(_)) => PrimitiveType::Timestamptz,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => PrimitiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => PrimitiveType::Binary,
        DataType::FixedSizeBinary(16) if is_uuid(field) => PrimitiveType::Uuid,
        DataType::FixedSizeBinary(width) => PrimitiveType::Fixed(u64::try_from(*width).ok()?),
        _ => return None,
    })
}

/// The columns of a table as rows read from it have them: UUIDs are known as such, so that a table made of them has
/// UUIDs again.
pub(in crate::lake) fn readable(schema: &Schema) -> Result<ArrowSchema> {
    let arrow = schema_to_arrow_schema(schema)
        .map_err(failed("the table has a column that cannot be read"))?;
    let fields = arrow.fields().iter().zip(schema.as_struct().fields());
    let mark = |(arrow, field): (&FieldRef, &NestedFieldRef)| {
        if field.field_type.as_primitive_type() != Some(&PrimitiveType::Uuid) {
            return Arc::clone(arrow);
        }
        let mut metadata = arrow.metadata().clone();
        metadata.insert(EXTENSION.to_owned(), UUID_EXTENSION.to_owned());
        Arc::new(arrow.as_ref().clone().with_metadata(metadata))
    };
    Ok(ArrowSchema::new(fields.map(mark).collect::<Vec<_>>()))
}

fn is_uuid(field: &Field) -> bool {
    field
        .metadata()
        .get(EXTENSION)
        .is_some_and(|name| name == UUID_EXTENSION)
}

fn unsupported(field: &Field, path: &str) -> Error {
    let error = Error::new(
        ErrorKind::Unsupported,
        format!(
            "column `{path}` has a type that a table cannot hold: `{}`",
            field.data_type()
        ),
    );
    match field.data_type() {
        DataType::Null => error.help(format!("give it a type: `CAST({path} AS VARCHAR)`")),
        DataType::Interval(_) | DataType::Duration(_) => {
            error.help("store a number of seconds, or the two ends as timestamps")
        }
        _ => error.help("cast it in a transform"),
    }
}

/// A type as a word: `decimal(15,2)`, `list<string>`.
pub(in crate::lake) fn type_word(type_: &Type) -> String {
    match type_ {
        Type::Primitive(PrimitiveType::Decimal { precision, scale }) => {
            format!("decimal({precision},{scale})")
        }
        Type::Primitive(PrimitiveType::Fixed(length)) => format!("fixed[{length}]"),
        Type::Primitive(primitive) => primitive.to_string(),
        Type::List(list) => format!("list<{}>", type_word(&list.element_field.field_type)),
        Type::Map(map) => format!(
            "map<{},{}>",
            type_word(&map.key_field.field_type),
            type_word(&map.value_field.field_type)
        ),
        Type::Struct(fields) => {
            let words = fields.fields().iter();
            let words: Vec<String> = words
                .map(|field| format!("{}:{}", field.name, type_word(&field.field_type)))
                .collect();
            format!("struct<{}>", words.join(","))
        }
    }
}

/// A column of a table, for people.
pub(in crate::lake) fn column(field: &NestedField) -> Column {
    Column {
        name: field.name.clone(),
        type_: type_word(&field.field_type),
        required: field.required,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::datatypes::TimeUnit;

    use super::*;

    fn word(data_type: DataType) -> String {
        let field = Field::new("c", data_type, true);
        let fields = fresh(&Fields::from(vec![field]), 1).unwrap();
        type_word(&fields[0].field_type)
    }

    #[test]
    fn types_become_words() {
        assert_eq!(word(DataType::Decimal128(15, 2)), "decimal(15,2)");
        assert_eq!(word(DataType::UInt64), "decimal(20,0)");
        assert_eq!(
            word(DataType::Timestamp(TimeUnit::Millisecond, None)),
            "timestamp"
        );
        assert_eq!(
            word(DataType::Timestamp(
                TimeUnit::Microsecond,
                Some("Europe/Moscow".into())
            )),
            "timestamptz"
        );
        let item = Arc::new(Field::new("item", DataType::Utf8, true));
        assert_eq!(word(DataType::List(item)), "list<string>");
    }

    #[test]
    fn identifiers_go_level_by_level() {
        let inner = Fields::from(vec![
            Field::new("x", DataType::Int32, true),
            Field::new("y", DataType::Utf8, true),
        ]);
        let fields = Fields::from(vec![
            Field::new("a", DataType::Struct(inner), true),
            Field::new("b", DataType::Int64, false),
        ]);
        let fields = fresh(&fields, 10).unwrap();
        assert_eq!((fields[0].id, fields[1].id), (10, 11));
        assert!(fields[1].required);
        assert_eq!(type_word(&fields[0].field_type), "struct<x:int,y:string>");
        let Type::Struct(inner) = fields[0].field_type.as_ref() else {
            panic!("a struct")
        };
        assert_eq!(inner.fields()[1].id, 13);
    }

    #[test]
    fn a_uuid_is_known_by_its_extension() {
        let metadata = HashMap::from([(EXTENSION.to_owned(), UUID_EXTENSION.to_owned())]);
        let field = Field::new("u", DataType::FixedSizeBinary(16), true);
        assert_eq!(word(field.data_type().clone()), "fixed[16]");
        let fields = fresh(&Fields::from(vec![field.with_metadata(metadata)]), 1).unwrap();
        assert_eq!(type_word(&fields[0].field_type), "uuid");
    }

    #[test]
    fn a_column_without_a_type_is_refused_by_name() {
        let fields = Fields::from(vec![Field::new("nothing", DataType::Null, true)]);
        let error = fresh(&fields, 1).unwrap_err();
        assert!(error.message().contains("`nothing`"), "{error}");
    }
}
