//! What the server says of tables: columns, keys, sizes, and what the database allows its readers.
//!
//! Knows the catalogue views; knows nothing of how rows are read.

use arrow::datatypes::{Schema, SchemaRef};
use mssql_tds::datatypes::sqldatatypes::TdsDataType;
use mssql_tds::query::metadata::ColumnMetadata;
use std::sync::Arc;

use super::kind::{AllowLossy, Kind};
use super::session::Session;
use super::sql::{self, Relation};
use crate::error::{Error, ErrorKind, Result};
use crate::relational::Named;

/// The user type of `rowversion`, which travels as eight bytes.
const ROW_VERSION: u32 = 0x50;

/// A column, typed.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
}

impl Named for Column {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Column {
    /// A column as the answer of a statement describes it.
    fn of(column: &ColumnMetadata) -> Self {
        Self {
            name: column.column_name.clone(),
            kind: kind_of(column),
            nullable: column.is_nullable(),
        }
    }
}

fn kind_of(column: &ColumnMetadata) -> Kind {
    use TdsDataType as Type;
    let bytes = column.type_info.length;
    let scale = column.get_scale().unwrap_or(7);
    match column.data_type {
        Type::Bit | Type::BitN => Kind::Bit,
        Type::Int1 => Kind::TinyInt,
        Type::Int2 => Kind::SmallInt,
        Type::Int4 => Kind::Int,
        Type::Int8 => Kind::BigInt,
        Type::IntN => match bytes {
            1 => Kind::TinyInt,
            2 => Kind::SmallInt,
            4 => Kind::Int,
            _ => Kind::BigInt,
        },
        Type::Flt4 => Kind::Real,
        Type::FltN if bytes == 4 => Kind::Real,
        Type::Flt8 | Type::FltN => Kind::Float,
        Type::Decimal | Type::Numeric | Type::DecimalN | Type::NumericN => Kind::Decimal {
            precision: column.get_precision().unwrap_or(38),
            scale: column.get_scale().unwrap_or(0),
        },
        Type::Money4 => Kind::SmallMoney,
        Type::MoneyN if bytes == 4 => Kind::SmallMoney,
        Type::Money | Type::MoneyN => Kind::Money,
        Type::DateN => Kind::Date,
        Type::TimeN => Kind::Time { scale },
        Type::DateTim4 => Kind::SmallDateTime,
        Type::DateTimeN if bytes == 4 => Kind::SmallDateTime,
        Type::DateTime | Type::DateTimeN => Kind::DateTime,
        Type::DateTime2N => Kind::DateTime2 { scale },
        Type::DateTimeOffsetN => Kind::DateTimeOffset { scale },
        Type::Char | Type::VarChar | Type::BigChar | Type::BigVarChar => Kind::Narrow,
        Type::NChar | Type::NVarChar => Kind::Wide,
        Type::Text => Kind::Text,
        Type::NText => Kind::NText,
        Type::Xml => Kind::Xml,
        Type::BigBinary if column.user_type == ROW_VERSION => Kind::RowVersion,
        Type::Binary | Type::VarBinary | Type::BigBinary | Type::BigVarBinary | Type::Image => {
            Kind::Binary
        }
        Type::Guid => Kind::Uuid,
        Type::SsVariant => Kind::Variant,
        Type::Udt => Kind::Clr(
            column
                .type_info
                .udt_info()
                .map_or_else(|| "a CLR type".to_owned(), |udt| udt.type_name().to_owned()),
        ),
        other => Kind::Other(format!("{other:?}").to_lowercase()),
    }
}

/// The columns of a relation, in its order.
pub(super) async fn columns(session: &mut Session, relation: &Relation) -> Result<Vec<Column>> {
    session
        .start(format!(
            "{}SELECT TOP (0) * FROM {}",
            relation.prefix(),
            relation.as_sql()
        ))
        .await?;
    let columns = started(session)?;
    session.end().await?;
    Ok(columns)
}

/// The columns of the statement that was started.
pub(super) fn started(session: &mut Session) -> Result<Vec<Column>> {
    Ok(session.columns()?.iter().map(Column::of).collect())
}

/// The Arrow schema of columns that can all be carried.
pub(super) fn schema(columns: &[Column], allowed: &AllowLossy) -> Result<SchemaRef> {
    let fields = columns
        .iter()
        .map(|column| column.kind.field(&column.name, column.nullable, allowed));
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// What a database lets its readers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Readers {
    /// `ALLOW_SNAPSHOT_ISOLATION`: a transaction sees one moment.
    pub(super) snapshot: bool,
    /// `READ_COMMITTED_SNAPSHOT`: a statement sees one moment.
    pub(super) statement: bool,
    /// What counts changes (versions, rowversions of transactions that are open) can be asked for: the session's own
    /// database is the one that is read, and it is no secondary of another.
    pub(super) counts: bool,
}

/// What the database of a relation lets its readers do.
pub(super) async fn readers(session: &mut Session, relation: &Relation) -> Result<Readers> {
    let database = match relation {
        Relation::Table(parts) if parts.len() == 3 => {
            let database = parts.first().map(String::as_str).unwrap_or_default();
            sql::text(database)
        }
        _ => "DB_NAME()".to_owned(),
    };
    let rows = session
        .rows(format!(
            "SELECT snapshot_isolation_state, is_read_committed_snapshot_on, \
             CASE WHEN name = DB_NAME() AND DATABASEPROPERTYEX(name, N'Updateability') = N'READ_WRITE' THEN 1 ELSE 0 END \
             FROM sys.databases WHERE name = {database}"
        ))
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such database"))?;
    let on = |at: usize| row.get(at).and_then(Option::as_deref) == Some("1");
    Ok(Readers {
        snapshot: on(0),
        statement: on(1),
        counts: on(2),
    })
}

/// What is known of a table before it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// About how many rows it has; `None` for what is no table.
    pub(super) rows: Option<u64>,
    /// The first column of the index that its rows are stored by, or of its primary key.
    pub(super) ordered_by: Option<String>,
    /// The columns of its primary key.
    pub(super) key: Vec<String>,
    /// Whether the database keeps the keys that change.
    pub(super) tracked: Tracking,
}

/// Whether the keys of a table that change are kept, and may be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tracking {
    #[default]
    No,
    /// They are kept, and the login may not see them.
    Hidden,
    Yes,
}

/// What is known of a table; of a query, nothing.
pub(super) async fn table(session: &mut Session, relation: &Relation) -> Result<Table> {
    let Relation::Table(parts) = relation else {
        return Ok(Table::default());
    };
    let id = format!("OBJECT_ID({})", sql::text(&relation.as_sql()));
    let catalogue = match parts.as_slice() {
        [database, _, _] => format!("{}.sys", sql::identifier(database)),
        _ => "sys".to_owned(),
    };
    let rows = session
        .value(format!(
            "SELECT CAST(SUM(rows) AS bigint) FROM {catalogue}.partitions WHERE object_id = {id} AND index_id IN (0, 1)"
        ))
        .await?;
    let indexes = session
        .rows(format!(
            "SELECT c.name, i.is_primary_key, ic.key_ordinal FROM {catalogue}.indexes AS i \
             JOIN {catalogue}.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id \
             JOIN {catalogue}.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id \
             WHERE i.object_id = {id} AND (i.type = 1 OR i.is_primary_key = 1) AND ic.key_ordinal > 0 \
             ORDER BY i.type, i.index_id, ic.key_ordinal"
        ))
        .await?;
    let tracked = session
        .value(format!(
            "SELECT HAS_PERMS_BY_NAME({}, N'OBJECT', N'VIEW CHANGE TRACKING') \
             FROM {catalogue}.change_tracking_tables WHERE object_id = {id}",
            sql::text(&relation.as_sql())
        ))
        .await?;
    let named = |row: &[Option<String>]| row.first().cloned().flatten();
    let of_key = |row: &&Vec<Option<String>>| row.get(1).and_then(Option::as_deref) == Some("1");
    Ok(Table {
        rows: rows.and_then(|rows| rows.parse().ok()),
        ordered_by: indexes.first().and_then(|row| named(row)),
        key: indexes
            .iter()
            .filter(of_key)
            .filter_map(|row| named(row))
            .collect(),
        tracked: match tracked.as_deref() {
            None => Tracking::No,
            Some("1") => Tracking::Yes,
            Some(_) => Tracking::Hidden,
        },
    })
}
