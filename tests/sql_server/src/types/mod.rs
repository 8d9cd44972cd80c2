//! T-SQL's types: how they are declared, what PostgreSQL keeps in their place, and what `sys.types` says of them.
//!
//! Times are counts of 100 ns, because PostgreSQL's end at microseconds; `Value` and the SQL made by `sql` agree on that.
//! Knows no statement and no connection.

mod collation;
pub(crate) mod decode;
pub(crate) mod encode;
mod value;

pub(crate) use collation::Collation;
pub(crate) use encode::variant;
pub(crate) use value::{Value, hex, quoted};

/// The length of `varchar(max)` and its kin.
pub(crate) const MAX: u16 = u16::MAX;

/// A declared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlType {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Decimal { precision: u8, scale: u8 },
    Numeric { precision: u8, scale: u8 },
    Money,
    SmallMoney,
    Real,
    Float,
    Date,
    Time(u8),
    SmallDateTime,
    DateTime,
    DateTime2(u8),
    DateTimeOffset(u8),
    Char(u16, Collation),
    VarChar(u16, Collation),
    Text(Collation),
    NChar(u16, Collation),
    NVarChar(u16, Collation),
    NText(Collation),
    Binary(u16),
    VarBinary(u16),
    Image,
    RowVersion,
    UniqueIdentifier,
    Xml,
    Variant,
    HierarchyId,
    Geography,
    Geometry,
}

/// The kinds that are converted among themselves in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bit and the integers.
    Integer,
    /// Exact numbers with a scale, money among them.
    Exact,
    Approximate,
    Date,
    Time,
    /// Ticks since the year 1: everything that has a date and a time and no zone.
    Moment,
    Offset,
    Text,
    Bytes,
    Guid,
    Xml,
    Variant,
    Clr,
}

impl SqlType {
    pub(crate) const NAME: Self = Self::NVarChar(128, Collation::DEFAULT);

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Bit | Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt => Kind::Integer,
            Self::Decimal { .. } | Self::Numeric { .. } | Self::Money | Self::SmallMoney => {
                Kind::Exact
            }
            Self::Real | Self::Float => Kind::Approximate,
            Self::Date => Kind::Date,
            Self::Time(_) => Kind::Time,
            Self::SmallDateTime | Self::DateTime | Self::DateTime2(_) => Kind::Moment,
            Self::DateTimeOffset(_) => Kind::Offset,
            Self::Char(..)
            | Self::VarChar(..)
            | Self::Text(_)
            | Self::NChar(..)
            | Self::NVarChar(..)
            | Self::NText(_) => Kind::Text,
            Self::Binary(_) | Self::VarBinary(_) | Self::Image | Self::RowVersion => Kind::Bytes,
            Self::UniqueIdentifier => Kind::Guid,
            Self::Xml => Kind::Xml,
            Self::Variant => Kind::Variant,
            Self::HierarchyId | Self::Geography | Self::Geometry => Kind::Clr,
        }
    }

    /// What PostgreSQL keeps its values as.
    pub(crate) fn postgres(self) -> String {
        match self {
            Self::Bit | Self::TinyInt | Self::SmallInt => "smallint".to_owned(),
            Self::Int | Self::Date => "integer".to_owned(),
            Self::BigInt
            | Self::Time(_)
            | Self::SmallDateTime
            | Self::DateTime
            | Self::DateTime2(_) => "bigint".to_owned(),
            Self::Decimal { precision, scale } | Self::Numeric { precision, scale } => {
                format!("numeric({precision},{scale})")
            }
            Self::Money => "numeric(19,4)".to_owned(),
            Self::SmallMoney => "numeric(10,4)".to_owned(),
            Self::Real => "real".to_owned(),
            Self::Float => "double precision".to_owned(),
            Self::DateTimeOffset(_) => "bigint[]".to_owned(),
            Self::Char(..)
            | Self::VarChar(..)
            | Self::Text(_)
            | Self::NChar(..)
            | Self::NVarChar(..)
            | Self::NText(_)
            | Self::Xml => "text".to_owned(),
            Self::Binary(_)
            | Self::VarBinary(_)
            | Self::Image
            | Self::RowVersion
            | Self::Variant
            | Self::HierarchyId
            | Self::Geography
            | Self::Geometry => "bytea".to_owned(),
            Self::UniqueIdentifier => "uuid".to_owned(),
        }
    }

    /// The name it is declared with, without what stands in brackets.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bit => "bit",
            Self::TinyInt => "tinyint",
            Self::SmallInt => "smallint",
            Self::Int => "int",
            Self::BigInt => "bigint",
            Self::Decimal { .. } => "decimal",
            Self::Numeric { .. } => "numeric",
            Self::Money => "money",
            Self::SmallMoney => "smallmoney",
            Self::Real => "real",
            Self::Float => "float",
            Self::Date => "date",
            Self::Time(_) => "time",
            Self::SmallDateTime => "smalldatetime",
            Self::DateTime => "datetime",
            Self::DateTime2(_) => "datetime2",
            Self::DateTimeOffset(_) => "datetimeoffset",
            Self::Char(..) => "char",
            Self::VarChar(..) => "varchar",
            Self::Text(_) => "text",
            Self::NChar(..) => "nchar",
            Self::NVarChar(..) => "nvarchar",
            Self::NText(_) => "ntext",
            Self::Binary(_) => "binary",
            Self::VarBinary(_) => "varbinary",
            Self::Image => "image",
            Self::RowVersion => "timestamp",
            Self::UniqueIdentifier => "uniqueidentifier",
            Self::Xml => "xml",
            Self::Variant => "sql_variant",
            Self::HierarchyId => "hierarchyid",
            Self::Geography => "geography",
            Self::Geometry => "geometry",
        }
    }

    /// As a declaration writes it: `name` with `arguments`, the numbers in brackets (`MAX` for `max`).
    pub(crate) fn declared(name: &str, arguments: &[u16], collation: Collation) -> Option<Self> {
        let first = arguments.first().copied();
        let length = first.unwrap_or(1);
        let digits = || {
            first.map_or(Some(7), |digits| {
                u8::try_from(digits).ok().filter(|d| *d <= 7)
            })
        };
        let exact = || {
            let precision = first.map_or(Some(18), |p| u8::try_from(p).ok())?;
            let scale = arguments
                .get(1)
                .map_or(Some(0), |s| u8::try_from(*s).ok())?;
            ((1..=38).contains(&precision) && scale <= precision).then_some((precision, scale))
        };
        let found = match name.to_ascii_lowercase().as_str() {
            "bit" => Self::Bit,
            "tinyint" => Self::TinyInt,
            "smallint" => Self::SmallInt,
            "int" | "integer" => Self::Int,
            "bigint" => Self::BigInt,
            "decimal" | "dec" => {
                exact().map(|(precision, scale)| Self::Decimal { precision, scale })?
            }
            "numeric" => exact().map(|(precision, scale)| Self::Numeric { precision, scale })?,
            "money" => Self::Money,
            "smallmoney" => Self::SmallMoney,
            "real" => Self::Real,
            "float" if first.is_some_and(|bits| bits <= 24) => Self::Real,
            "float" => Self::Float,
            "date" => Self::Date,
            "time" => Self::Time(digits()?),
            "smalldatetime" => Self::SmallDateTime,
            "datetime" => Self::DateTime,
            "datetime2" => Self::DateTime2(digits()?),
            "datetimeoffset" => Self::DateTimeOffset(digits()?),
            "char" | "character" if (1..=8000).contains(&length) => Self::Char(length, collation),
            "varchar" if length == MAX || (1..=8000).contains(&length) => {
                Self::VarChar(length, collation)
            }
            "text" => Self::Text(collation),
            "nchar" if (1..=4000).contains(&length) => Self::NChar(length, collation),
            "nvarchar" if length == MAX || (1..=4000).contains(&length) => {
                Self::NVarChar(length, collation)
            }
            "sysname" => Self::NAME,
            "ntext" => Self::NText(collation),
            "binary" if (1..=8000).contains(&length) => Self::Binary(length),
            "varbinary" if length == MAX || (1..=8000).contains(&length) => Self::VarBinary(length),
            "image" => Self::Image,
            "rowversion" | "timestamp" => Self::RowVersion,
            "uniqueidentifier" => Self::UniqueIdentifier,
            "xml" => Self::Xml,
            "sql_variant" => Self::Variant,
            "hierarchyid" => Self::HierarchyId,
            "geography" => Self::Geography,
            "geometry" => Self::Geometry,
            _ => return None,
        };
        Some(found)
    }

    pub(crate) fn collation(self) -> Option<Collation> {
        match self {
            Self::Char(_, collation)
            | Self::VarChar(_, collation)
            | Self::Text(collation)
            | Self::NChar(_, collation)
            | Self::NVarChar(_, collation)
            | Self::NText(collation) => Some(collation),
            _ => None,
        }
    }

    /// Whether it is text of two bytes a unit.
    pub(crate) fn is_national(self) -> bool {
        matches!(self, Self::NChar(..) | Self::NVarChar(..) | Self::NText(_))
    }

    /// The length in characters or bytes, as declared.
    pub(crate) fn length(self) -> Option<u16> {
        match self {
            Self::Char(n, _)
            | Self::VarChar(n, _)
            | Self::NChar(n, _)
            | Self::NVarChar(n, _)
            | Self::Binary(n)
            | Self::VarBinary(n) => Some(n),
            Self::RowVersion => Some(8),
            _ => None,
        }
    }

    /// `max_length`, `precision` and `scale` of `sys.columns`.
    pub(crate) fn sizes(self) -> (i16, u8, u8) {
        let short = |n: u16| {
            if n == MAX {
                -1
            } else {
                i16::try_from(n).unwrap_or(-1)
            }
        };
        match self {
            Self::Bit => (1, 1, 0),
            Self::TinyInt => (1, 3, 0),
            Self::SmallInt => (2, 5, 0),
            Self::Int => (4, 10, 0),
            Self::BigInt => (8, 19, 0),
            Self::Decimal { precision, scale } | Self::Numeric { precision, scale } => (
                i16::from(encode::decimal_length(precision)),
                precision,
                scale,
            ),
            Self::Money => (8, 19, 4),
            Self::SmallMoney => (4, 10, 4),
            Self::Real => (4, 24, 0),
            Self::Float => (8, 53, 0),
            Self::Date => (3, 10, 0),
            Self::Time(0) => (3, 8, 0),
            Self::Time(s) => (i16::from(encode::time_length(s)), 9 + s, s),
            Self::SmallDateTime => (4, 16, 0),
            Self::DateTime => (8, 23, 3),
            Self::DateTime2(0) => (6, 19, 0),
            Self::DateTime2(s) => (3 + i16::from(encode::time_length(s)), 20 + s, s),
            Self::DateTimeOffset(0) => (8, 26, 0),
            Self::DateTimeOffset(s) => (5 + i16::from(encode::time_length(s)), 27 + s, s),
            Self::NChar(n, _) | Self::NVarChar(n, _) if n != MAX => (short(n * 2), 0, 0),
            Self::Text(_) | Self::NText(_) | Self::Image | Self::UniqueIdentifier => (16, 0, 0),
            Self::Variant => (8016, 0, 0),
            Self::HierarchyId => (892, 0, 0),
            Self::Xml | Self::Geography | Self::Geometry => (-1, 0, 0),
            other => (other.length().map_or(-1, short), 0, 0),
        }
    }

    /// Back from what the catalogue keeps.
    pub(crate) fn of_catalog(
        name: &str,
        max_length: i16,
        precision: u8,
        scale: u8,
        collation: Option<&str>,
    ) -> Option<Self> {
        let collation = collation
            .and_then(Collation::named)
            .unwrap_or(Collation::DEFAULT);
        let length = match (name, max_length) {
            (_, -1) => MAX,
            ("nchar" | "nvarchar", bytes) => u16::try_from(bytes / 2).ok()?,
            (_, bytes) => u16::try_from(bytes).ok()?,
        };
        match name {
            "decimal" | "numeric" => {
                Self::declared(name, &[u16::from(precision), u16::from(scale)], collation)
            }
            "time" | "datetime2" | "datetimeoffset" => {
                Self::declared(name, &[u16::from(scale)], collation)
            }
            "float" => Some(Self::Float),
            _ => Self::declared(name, &[length], collation),
        }
    }
}
