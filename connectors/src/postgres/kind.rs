//! The types that are read, and the Arrow type of each.
//!
//! Knows type oids and Arrow; knows nothing of the wire.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

/// The scale of a `numeric` that declares none.
const FREE_SCALE: i8 = 9;
/// The most digits that a decimal column holds.
const MAX_PRECISION: i16 = 38;

/// How values of a type are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    /// `free` where the column declares neither precision nor scale.
    Numeric {
        precision: u8,
        scale: i8,
        free: bool,
    },
    /// `text` and `varchar`: text that is compared as it is read.
    Text,
    /// Text on the wire, compared by rules of its own: `bpchar`, `citext`, enums, `json`.
    Label,
    /// Read as text by a cast in the query.
    Cast,
    Jsonb,
    Bytes,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Uuid,
    List(Box<Self>),
}

/// A row of `pg_type`.
#[derive(Clone, Debug)]
pub(super) struct TypeRow {
    pub(super) name: String,
    /// `typtype`: `b` base, `e` enum, `d` domain, ….
    pub(super) class: char,
    /// The element type of a true array, else zero.
    pub(super) element: u32,
    /// The base type of a domain, else zero.
    pub(super) base: u32,
    /// The modifier of a domain's base type.
    pub(super) typmod: i32,
    /// Whether an extension of the server owns the name `citext`.
    pub(super) builtin: bool,
}

impl Kind {
    /// How a type is read; `None` where it is not.
    pub(super) fn of(oid: u32, typmod: i32, types: &HashMap<u32, TypeRow>) -> Option<Self> {
        let row = types.get(&oid)?;
        match row.class {
            'e' => return Some(Self::Label),
            'd' => return Self::of(row.base, row.typmod, types),
            _ if row.element != 0 => {
                let element = Self::of(row.element, typmod, types)?;
                return match element {
                    Self::List(_) => None,
                    element => Some(Self::List(Box::new(element))),
                };
            }
            'b' => {}
            _ => return None,
        }
        match (row.name.as_str(), row.builtin) {
            ("citext", false) => Some(Self::Label),
            (name, true) => Self::builtin(name, typmod),
            _ => None,
        }
    }

    fn builtin(name: &str, typmod: i32) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "oid" => Self::Oid,
            "float4" => Self::Float4,
            "float8" => Self::Float8,
            "numeric" => return numeric(typmod),
            "text" | "varchar" => Self::Text,
            "bpchar" | "name" | "json" => Self::Label,
            "char" | "inet" | "cidr" | "macaddr" | "macaddr8" | "interval" | "xml" => Self::Cast,
            "jsonb" => Self::Jsonb,
            "bytea" => Self::Bytes,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::TimestampTz,
            "uuid" => Self::Uuid,
            _ => return None,
        })
    }

    /// The Arrow type.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 | Self::Int4 => DataType::Int32,
            Self::Int8 | Self::Oid => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric {
                precision, scale, ..
            } => DataType::Decimal128(*precision, *scale),
            Self::Text | Self::Label | Self::Cast | Self::Jsonb => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::List(element) => DataType::List(Arc::new(element.field("item", true))),
        }
    }

    /// A column of this kind.
    pub(super) fn field(&self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.data_type(), nullable);
        match self {
            Self::Uuid => {
                let uuid = ("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned());
                field.with_metadata(HashMap::from([uuid]))
            }
            _ => field,
        }
    }

    /// What is selected so that a column (already quoted) arrives in this form.
    pub(super) fn selected(&self, column: &str) -> String {
        match self {
            Self::Cast => format!("{column}::text"),
            Self::List(element) if **element == Self::Cast => format!("{column}::text[]"),
            _ => column.to_owned(),
        }
    }
}

/// The type modifier of `numeric` holds the precision in its upper half and the scale, signed, in its lower 11 bits.
fn numeric(typmod: i32) -> Option<Kind> {
    if typmod < 4 {
        return Some(Kind::Numeric {
            precision: 38,
            scale: FREE_SCALE,
            free: true,
        });
    }
    let packed = typmod - 4;
    let precision = i16::try_from(packed >> 16).ok()?;
    let scale = i16::try_from(((packed & 0x7ff) ^ 1024) - 1024).ok()?;
    // `numeric(3,-2)` holds whole hundreds, `numeric(2,5)` only thousandths and less; decimals have no such form.
    let (precision, scale) = if scale < 0 {
        (precision - scale, 0)
    } else {
        (precision.max(scale), scale)
    };
    if precision > MAX_PRECISION {
        return None;
    }
    Some(Kind::Numeric {
        precision: u8::try_from(precision).ok()?,
        scale: i8::try_from(scale).ok()?,
        free: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typmod(precision: i32, scale: i32) -> i32 {
        ((precision << 16) | (scale & 0x7ff)) + 4
    }

    fn shape(typmod: i32) -> Option<(u8, i8, bool)> {
        match numeric(typmod)? {
            Kind::Numeric {
                precision,
                scale,
                free,
            } => Some((precision, scale, free)),
            _ => None,
        }
    }

    #[test]
    fn numerics_keep_precision_and_scale() {
        assert_eq!(shape(typmod(15, 2)), Some((15, 2, false)));
        assert_eq!(shape(typmod(38, 38)), Some((38, 38, false)));
        assert_eq!(shape(-1), Some((38, 9, true)));
    }

    #[test]
    fn odd_numerics_get_a_form_that_holds_them() {
        assert_eq!(shape(typmod(3, -2)), Some((5, 0, false)));
        assert_eq!(shape(typmod(2, 5)), Some((5, 5, false)));
        assert_eq!(shape(typmod(39, 0)), None);
    }
}
