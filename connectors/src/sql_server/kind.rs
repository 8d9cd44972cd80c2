//! The types that are read, and the Arrow type of each.
//!
//! Knows SQL Server's types and Arrow; knows nothing of the wire.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use arrow::datatypes::{DataType, Field, TimeUnit};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// The most digits of a second's fraction that a column of the lake holds.
const MICROSECONDS: u8 = 6;

/// A type as the server names it, with what it was declared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    /// `rowversion`, a number that grows with every change in the database. Its eight bytes are read as one integer.
    RowVersion,
    Real,
    Float,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Money,
    SmallMoney,
    Date,
    Time {
        scale: u8,
    },
    SmallDateTime,
    /// Counts 1/300 of a second.
    DateTime,
    DateTime2 {
        scale: u8,
    },
    DateTimeOffset {
        scale: u8,
    },
    /// `char`, `varchar`: bytes of the code page of the column's collation.
    Narrow,
    /// `nchar`, `nvarchar`: UTF-16.
    Wide,
    /// As `varchar`, and cannot be compared.
    Text,
    /// As `nvarchar`, and cannot be compared.
    NText,
    Xml,
    Binary,
    Uuid,
    /// A value with a type of its own in each row.
    Variant,
    /// `hierarchyid`, `geography`, `geometry`, or a type of the database's own: a CLR type by its name.
    Clr(String),
    /// A type that is newer than this list.
    Other(String),
}

/// What may be lost of a column's values.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(super) enum Loss {
    /// The seventh digit of a second's fraction, which is cut off.
    SubMicrosecond,
    /// The type that each value of a `sql_variant` has: values become text, times with six digits, moments in UTC.
    VariantType,
    /// How a key of text is spelled, where two spellings are one to the server (upper and lower case, blanks at the end): a
    /// row whose key is only spelled in another way becomes two in a table that tells them apart.
    KeySpelling,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SubMicrosecond => "sub_microsecond",
            Self::VariantType => "variant_type",
            Self::KeySpelling => "key_spelling",
        })
    }
}

/// `allow_lossy:` of an extract: what may be lost, by column; `*` is every column.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(transparent)]
pub(super) struct AllowLossy(BTreeMap<String, Vec<Loss>>);

impl AllowLossy {
    pub(super) fn allows(&self, column: &str, loss: Loss) -> bool {
        [column, "*"]
            .into_iter()
            .filter_map(|name| self.0.get(name))
            .any(|losses| losses.contains(&loss))
    }
}

impl Kind {
    /// The Arrow type; `None` where values cannot be carried.
    pub(super) fn data_type(&self) -> Option<DataType> {
        Some(match self {
            Self::Bit => DataType::Boolean,
            Self::TinyInt | Self::SmallInt | Self::Int => DataType::Int32,
            Self::BigInt | Self::RowVersion => DataType::Int64,
            Self::Real => DataType::Float32,
            Self::Float => DataType::Float64,
            Self::Decimal { .. } | Self::Money | Self::SmallMoney => {
                let (precision, scale) = self.digits()?;
                DataType::Decimal128(precision, scale)
            }
            Self::Date => DataType::Date32,
            Self::Time { .. } => DataType::Time64(TimeUnit::Microsecond),
            Self::SmallDateTime | Self::DateTime | Self::DateTime2 { .. } => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            Self::DateTimeOffset { .. } => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            Self::Narrow | Self::Wide | Self::Text | Self::NText | Self::Xml | Self::Variant => {
                DataType::Utf8
            }
            Self::Binary => DataType::Binary,
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Clr(_) | Self::Other(_) => return None,
        })
    }

    /// Precision and scale of an exact number.
    pub(super) fn digits(&self) -> Option<(u8, i8)> {
        match self {
            Self::Decimal { precision, scale } => Some((*precision, i8::try_from(*scale).ok()?)),
            Self::Money => Some((19, 4)),
            Self::SmallMoney => Some((10, 4)),
            _ => None,
        }
    }

    /// Whether a value that is read can be compared with the column and finds just its row.
    pub(super) fn is_exact(&self) -> bool {
        !self.is_cut()
            && matches!(
                self,
                Self::Bit
                    | Self::TinyInt
                    | Self::SmallInt
                    | Self::Int
                    | Self::BigInt
                    | Self::Decimal { .. }
                    | Self::Money
                    | Self::SmallMoney
                    | Self::Date
                    | Self::SmallDateTime
                    | Self::DateTime
                    | Self::DateTime2 { .. }
                    | Self::DateTimeOffset { .. }
                    | Self::Narrow
                    | Self::Wide
                    | Self::Uuid
            )
    }

    /// Whether a fraction of a second has more digits than are kept.
    pub(super) fn is_cut(&self) -> bool {
        match self {
            Self::Time { scale } | Self::DateTime2 { scale } | Self::DateTimeOffset { scale } => {
                *scale > MICROSECONDS
            }
            _ => false,
        }
    }

    /// The Arrow field of a column; an error where its values cannot be carried exactly and nobody allowed the loss.
    pub(super) fn field(&self, name: &str, nullable: bool, allowed: &AllowLossy) -> Result<Field> {
        self.refuse_loss(name, allowed)?;
        let data_type = self.data_type().ok_or_else(|| self.unreadable(name))?;
        let field = Field::new(name, data_type, nullable);
        Ok(match self {
            Self::Uuid => {
                let uuid = ("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned());
                field.with_metadata(HashMap::from([uuid]))
            }
            _ => field,
        })
    }

    fn refuse_loss(&self, name: &str, allowed: &AllowLossy) -> Result<()> {
        let (loss, what, cast) = match self {
            kind if kind.is_cut() => (
                Loss::SubMicrosecond,
                "more digits of a second than are kept, which is six",
                self.to_string().replace("(7)", "(6)"),
            ),
            Self::Variant => (
                Loss::VariantType,
                "values that each have a type of their own",
                "nvarchar(4000)".to_owned(),
            ),
            _ => return Ok(()),
        };
        if allowed.allows(name, loss) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("column `{name}` has {what}"),
        )
        .with("type", self)
        .help(format!(
            "read a query with `CAST({} AS {cast})`, or say that the loss is known: \
                     `options: {{ allow_lossy: {{ {name}: [{loss}] }} }}`",
            super::sql::identifier(name),
        )))
    }

    fn unreadable(&self, name: &str) -> Error {
        let column = super::sql::identifier(name);
        let cast = match self {
            Self::Clr(clr) if clr == "hierarchyid" => format!("{column}.ToString()"),
            Self::Clr(clr) if clr == "geography" || clr == "geometry" => {
                format!("{column}.AsBinaryZM()`, with `{column}.STSrid")
            }
            _ => format!("CAST({column} AS nvarchar(max))"),
        };
        Error::new(
            ErrorKind::Unsupported,
            format!("column `{name}` has a type that is not read"),
        )
        .with("type", self)
        .help(format!(
            "leave it out of `columns:`, or read a query with `{cast}`"
        ))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bit => f.write_str("bit"),
            Self::TinyInt => f.write_str("tinyint"),
            Self::SmallInt => f.write_str("smallint"),
            Self::Int => f.write_str("int"),
            Self::BigInt => f.write_str("bigint"),
            Self::RowVersion => f.write_str("rowversion"),
            Self::Real => f.write_str("real"),
            Self::Float => f.write_str("float"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Money => f.write_str("money"),
            Self::SmallMoney => f.write_str("smallmoney"),
            Self::Date => f.write_str("date"),
            Self::Time { scale } => write!(f, "time({scale})"),
            Self::SmallDateTime => f.write_str("smalldatetime"),
            Self::DateTime => f.write_str("datetime"),
            Self::DateTime2 { scale } => write!(f, "datetime2({scale})"),
            Self::DateTimeOffset { scale } => write!(f, "datetimeoffset({scale})"),
            Self::Narrow => f.write_str("varchar"),
            Self::Wide => f.write_str("nvarchar"),
            Self::Text => f.write_str("text"),
            Self::NText => f.write_str("ntext"),
            Self::Xml => f.write_str("xml"),
            Self::Binary => f.write_str("varbinary"),
            Self::Uuid => f.write_str("uniqueidentifier"),
            Self::Variant => f.write_str("sql_variant"),
            Self::Clr(name) | Self::Other(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> AllowLossy {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_cannot_be_carried_names_the_cast() {
        let none = AllowLossy::default();
        let error = Kind::DateTime2 { scale: 7 }
            .field("at", true, &none)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let help = error.help_text().unwrap();
        assert!(help.contains("CAST([at] AS datetime2(6))"), "{help}");
        assert!(
            help.contains("allow_lossy: { at: [sub_microsecond] }"),
            "{help}"
        );
        let error = Kind::Clr("hierarchyid".to_owned())
            .field("node", true, &none)
            .unwrap_err();
        assert!(error.help_text().unwrap().contains("[node].ToString()"));
    }

    #[test]
    fn a_loss_is_allowed_for_a_column_or_for_all() {
        let kind = Kind::DateTimeOffset { scale: 7 };
        let field = |allowed: &AllowLossy| kind.field("at", true, allowed).is_ok();
        assert!(field(&allowed(r#"{ "at": ["sub_microsecond"] }"#)));
        assert!(field(&allowed(r#"{ "*": ["sub_microsecond"] }"#)));
        assert!(!field(&allowed(r#"{ "other": ["sub_microsecond"] }"#)));
        assert!(!field(&allowed(r#"{ "at": ["variant_type"] }"#)));
    }
}
