//! Functions and global variables: text, numbers, time, names of objects, the session.

use super::convert::{How, convert};
use super::expression::alike;
use super::operators::comparison;
use super::{Binder, Bound, Scope};
use crate::error::{Result, SqlError};
use crate::sql::syntax::Expression;
use crate::types::{Collation, Kind, MAX, SqlType, Value};

/// What a client is told the server is.
pub(crate) const VERSION: &str = "16.0.1000.6";

const TICKS_OF_SECOND: &str = "10000000";

fn text_type(length: u16) -> SqlType {
    SqlType::NVarChar(length, Collation::DEFAULT)
}

impl Binder<'_> {
    pub(super) fn call(
        &self,
        name: &str,
        arguments: &[Expression],
        scope: &Scope<'_>,
    ) -> Result<Bound> {
        let name = name.to_ascii_uppercase();
        let values: Vec<Bound> = arguments
            .iter()
            .map(|argument| self.value_of_argument(argument, scope))
            .collect::<Result<_>>()?;
        let plain = [
            choice,
            text_function,
            measure_function,
            number_function,
            time_function,
        ];
        for group in plain {
            if let Some(bound) = group(&name, &values)? {
                return Ok(bound);
            }
        }
        if let Some(bound) = self.object_function(&name, &values)? {
            return Ok(bound);
        }
        if let Some(bound) = self.database_function(&name, &values)? {
            return Ok(bound);
        }
        if let Some(bound) = self.capture_value(&name, &values)? {
            return Ok(bound);
        }
        if let Some(bound) = self.session_function(&name, &values)? {
            return Ok(bound);
        }
        if name.contains('.') || matches!(name.as_str(), "DATEADD" | "DATEDIFF") {
            return Err(SqlError::unknown(&name));
        }
        Err(SqlError::new(
            195,
            15,
            format!("'{name}' is not a recognized built-in function name."),
        ))
    }

    /// `DATEADD(day, …)`: a bare word is a part of a date there.
    fn value_of_argument(&self, argument: &Expression, scope: &Scope<'_>) -> Result<Bound> {
        const PARTS: [&str; 8] = [
            "day",
            "dd",
            "hour",
            "minute",
            "second",
            "millisecond",
            "microsecond",
            "nanosecond",
        ];
        match argument {
            Expression::Column(name) => match (name.as_slice(), self.value(argument, scope)) {
                ([word], Err(_)) if PARTS.iter().any(|part| part.eq_ignore_ascii_case(word)) => {
                    Bound::constant(
                        Value::Text(word.to_ascii_lowercase()),
                        SqlType::VarChar(20, Collation::DEFAULT),
                    )
                }
                (_, found) => found,
            },
            _ => self.value(argument, scope),
        }
    }

    fn object_function(&self, name: &str, values: &[Bound]) -> Result<Option<Bound>> {
        let database = self.facts.database;
        let text = |value: &Bound| {
            convert(value.clone(), text_type(4000), How::IMPLICIT).map(|value| value.sql)
        };
        let int = |value: &Bound| {
            convert(value.clone(), SqlType::Int, How::IMPLICIT).map(|value| value.sql)
        };
        let name_of = |sql: String| Bound::new(format!("({sql})"), SqlType::NAME);
        Ok(Some(match (name, values) {
            ("OBJECT_ID", [value] | [value, _]) => Bound::new(
                format!("tds.object_id({database}, {})", text(value)?),
                SqlType::Int,
            ),
            ("OBJECT_NAME", [value]) => name_of(format!(
                "SELECT o.name FROM tds.objects AS o WHERE o.object_id = {}",
                int(value)?
            )),
            ("OBJECT_SCHEMA_NAME", [value]) => name_of(format!(
                "SELECT n.name FROM tds.objects AS o JOIN tds.schemas AS n USING (database_id, schema_id) WHERE o.object_id = {}",
                int(value)?
            )),
            ("SCHEMA_NAME", []) => Bound::constant(Value::Text("dbo".to_owned()), SqlType::NAME)?,
            ("SCHEMA_NAME", [value]) => name_of(format!(
                "SELECT n.name FROM tds.schemas AS n WHERE n.database_id = {database} AND n.schema_id = {}",
                int(value)?
            )),
            ("SCHEMA_ID", [value]) => Bound::new(
                format!(
                    "(SELECT n.schema_id FROM tds.schemas AS n WHERE n.database_id = {database} AND lower(n.name) = lower({}))",
                    text(value)?
                ),
                SqlType::Int,
            ),
            ("TYPE_NAME", [value]) => name_of(format!(
                "SELECT t.name FROM tds.types AS t WHERE t.user_type_id = {}",
                int(value)?
            )),
            ("TYPE_ID", [value]) => Bound::new(
                format!(
                    "(SELECT t.user_type_id FROM tds.types AS t WHERE t.name = lower({}))",
                    text(value)?
                ),
                SqlType::Int,
            ),
            ("COL_NAME", [object, column]) => name_of(format!(
                "SELECT c.name FROM tds.columns AS c WHERE c.object_id = {} AND c.column_id = {}",
                int(object)?,
                int(column)?
            )),
            _ => return Ok(None),
        }))
    }

    fn database_function(&self, name: &str, values: &[Bound]) -> Result<Option<Bound>> {
        let database = self.facts.database;
        let text = |value: &Bound| {
            convert(value.clone(), text_type(4000), How::IMPLICIT).map(|value| value.sql)
        };
        let int = |value: &Bound| {
            convert(value.clone(), SqlType::Int, How::IMPLICIT).map(|value| value.sql)
        };
        let name_of = |sql: String| Bound::new(format!("({sql})"), SqlType::NAME);
        Ok(Some(match (name, values) {
            ("DB_NAME", []) => {
                Bound::constant(Value::Text(self.facts.database_name.clone()), SqlType::NAME)?
            }
            ("DB_NAME", [value]) => name_of(format!(
                "SELECT d.name FROM tds.databases AS d WHERE d.database_id = {}",
                int(value)?
            )),
            ("DB_ID", []) => {
                Bound::constant(Value::Integer(i64::from(database)), SqlType::SmallInt)?
            }
            ("DB_ID", [value]) => Bound::new(
                format!(
                    "(SELECT d.database_id FROM tds.databases AS d WHERE lower(d.name) = lower({}))::smallint",
                    text(value)?
                ),
                SqlType::SmallInt,
            ),
            ("CHANGE_TRACKING_CURRENT_VERSION", []) => {
                Bound::new(format!("tds.current_version({database})"), SqlType::BigInt)
            }
            ("CHANGE_TRACKING_MIN_VALID_VERSION", [value]) => Bound::new(
                format!("tds.min_valid_version({})", int(value)?),
                SqlType::BigInt,
            ),
            ("MIN_ACTIVE_ROWVERSION", []) => {
                Bound::new("tds.min_active_rowversion()", SqlType::Binary(8))
            }
            ("HAS_PERMS_BY_NAME", [_, _, _]) => Bound::constant(Value::Integer(1), SqlType::Int)?,
            _ => return Ok(None),
        }))
    }

    fn session_function(&self, name: &str, values: &[Bound]) -> Result<Option<Bound>> {
        let text = |value: &str| Bound::constant(Value::Text(value.to_owned()), SqlType::NAME);
        Ok(Some(match (name, values) {
            ("SUSER_SNAME" | "SUSER_NAME" | "ORIGINAL_LOGIN", []) => text(&self.facts.login)?,
            ("USER_NAME" | "CURRENT_USER", []) => text("dbo")?,
            ("HOST_NAME" | "APP_NAME", []) => text("")?,
            ("XACT_STATE", []) => Bound::constant(
                Value::Integer(self.facts.transactions.min(1)),
                SqlType::SmallInt,
            )?,
            ("SCOPE_IDENTITY", []) => self.identity()?,
            ("SERVERPROPERTY", [property]) => server_property(property)?,
            ("DATABASEPROPERTYEX", [_, property]) => database_property(property)?,
            _ => return Ok(None),
        }))
    }

    fn identity(&self) -> Result<Bound> {
        let value = self
            .facts
            .identity
            .map_or(Value::Null, |identity| Value::Exact {
                negative: identity < 0,
                digits: u128::from(identity.unsigned_abs()),
                scale: 0,
            });
        Bound::constant(
            value,
            SqlType::Numeric {
                precision: 38,
                scale: 0,
            },
        )
    }

    pub(super) fn global(&self, name: &str) -> Result<Bound> {
        let int = |value: i64, sql_type| Bound::constant(Value::Integer(value), sql_type);
        let text = |value: String| Bound::constant(Value::Text(value), text_type(300));
        match name.to_ascii_uppercase().as_str() {
            "@@VERSION" => text(format!(
                "Microsoft SQL Server 2022 (RTM) - {VERSION} (X64) \n\tLakewright's TDS test server, on PostgreSQL"
            )),
            "@@ROWCOUNT" => int(self.facts.row_count, SqlType::Int),
            "@@TRANCOUNT" => int(self.facts.transactions, SqlType::Int),
            "@@ERROR" => int(self.facts.last_error, SqlType::Int),
            "@@SPID" => int(self.facts.spid, SqlType::SmallInt),
            "@@LOCK_TIMEOUT" => int(self.facts.lock_timeout, SqlType::Int),
            "@@MAX_PRECISION" => int(38, SqlType::TinyInt),
            "@@SERVERNAME" => text("testserver".to_owned()),
            "@@LANGUAGE" => text("us_english".to_owned()),
            "@@DBTS" => Ok(Bound::new("tds.dbts()", SqlType::VarBinary(8))),
            "@@IDENTITY" => self.identity(),
            "@@MICROSOFTVERSION" => int(0x1000_03e8, SqlType::Int),
            _ => Err(SqlError::new(
                137,
                15,
                format!("Must declare the scalar variable \"{name}\"."),
            )),
        }
    }
}

fn choice(name: &str, values: &[Bound]) -> Result<Option<Bound>> {
    let all_nullable = values.iter().all(|value| value.nullable);
    let found = match (name, values) {
        ("ISNULL", [first, second]) => {
            let sql_type = if first.is_null() {
                second.sql_type
            } else {
                first.sql_type
            };
            let first = convert(first.clone(), sql_type, How::EXPLICIT)?;
            let second = convert(second.clone(), sql_type, How::EXPLICIT)?;
            Bound::new(format!("coalesce({}, {})", first.sql, second.sql), sql_type)
        }
        ("COALESCE", [_, _, ..]) => {
            let (values, sql_type) = alike(values.to_vec())?;
            Bound::new(format!("coalesce({})", values.join(", ")), sql_type)
        }
        ("NULLIF", [first, second]) => {
            let equal = comparison("=", first.clone(), second.clone())?;
            return Ok(Some(Bound::new(
                format!("(CASE WHEN {equal} THEN NULL ELSE {} END)", first.sql),
                first.sql_type,
            )));
        }
        _ => return Ok(None),
    };
    Ok(Some(Bound {
        nullable: all_nullable,
        ..found
    }))
}

fn text_function(name: &str, values: &[Bound]) -> Result<Option<Bound>> {
    let int =
        |value: &Bound| convert(value.clone(), SqlType::Int, How::IMPLICIT).map(|value| value.sql);
    let same = |value: Bound, sql: String| Bound {
        nullable: value.nullable,
        ..Bound::new(sql, value.sql_type)
    };
    Ok(Some(match (name, values) {
        ("UPPER" | "LOWER", [value]) => {
            let value = as_text(value)?;
            let sql = format!("{}({})", name.to_ascii_lowercase(), value.sql);
            same(value, sql)
        }
        ("LTRIM" | "RTRIM" | "TRIM", [value]) => {
            let value = as_text(value)?;
            let function = if name == "TRIM" {
                "btrim".to_owned()
            } else {
                name.to_ascii_lowercase()
            };
            let sql = format!("{function}({}, ' ')", value.sql);
            same(value, sql)
        }
        ("LEFT" | "RIGHT", [value, count]) => {
            let value = as_text(value)?;
            let sql = format!(
                "{}({}, {})",
                name.to_ascii_lowercase(),
                value.sql,
                int(count)?
            );
            same(value, sql)
        }
        ("SUBSTRING", [value, from, count]) => {
            let value = if value.sql_type.kind() == Kind::Bytes {
                value.clone()
            } else {
                as_text(value)?
            };
            let sql = format!("substr({}, {}, {})", value.sql, int(from)?, int(count)?);
            same(value, sql)
        }
        ("REPLICATE", [value, count]) => {
            let value = as_text(value)?;
            let sql_type = if value.sql_type.is_national() {
                text_type(MAX)
            } else {
                SqlType::VarChar(MAX, Collation::DEFAULT)
            };
            Bound::new(format!("repeat({}, {})", value.sql, int(count)?), sql_type)
        }
        _ => return Ok(None),
    }))
}

fn as_text(value: &Bound) -> Result<Bound> {
    if value.sql_type.kind() == Kind::Text {
        return Ok(value.clone());
    }
    convert(value.clone(), text_type(4000), How::IMPLICIT)
}

fn measure_function(name: &str, values: &[Bound]) -> Result<Option<Bound>> {
    Ok(Some(match (name, values) {
        ("LEN", [value]) => Bound::new(
            format!("tds.units(rtrim({}, ' '))", as_text(value)?.sql),
            SqlType::Int,
        ),
        ("DATALENGTH", [value]) => Bound::new(data_length(value), SqlType::Int),
        ("CONCAT", [_, _, ..]) => {
            let parts: Vec<String> = values
                .iter()
                .map(|value| {
                    if value.is_null() {
                        return Ok("''".to_owned());
                    }
                    as_text(value).map(|value| format!("coalesce({}, '')", value.sql))
                })
                .collect::<Result<_>>()?;
            Bound::new(format!("({})", parts.join(" || ")), text_type(4000)).not_null()
        }
        ("QUOTENAME", [value]) => {
            let value = as_text(value)?;
            Bound::new(
                format!(
                    "('[' || replace({} COLLATE \"C\", ']', ']]') || ']')",
                    value.sql
                ),
                text_type(258),
            )
        }
        _ => return Ok(None),
    }))
}

fn number_function(name: &str, values: &[Bound]) -> Result<Option<Bound>> {
    Ok(Some(match (name, values) {
        ("ABS", [value])
            if matches!(
                value.sql_type.kind(),
                Kind::Integer | Kind::Exact | Kind::Approximate
            ) =>
        {
            Bound::new(format!("abs({})", value.sql), value.sql_type)
        }
        ("NEWID", []) => Bound::new("gen_random_uuid()", SqlType::UniqueIdentifier),
        _ => return Ok(None),
    }))
}

fn time_function(name: &str, values: &[Bound]) -> Result<Option<Bound>> {
    Ok(Some(match (name, values) {
        ("GETDATE" | "GETUTCDATE" | "CURRENT_TIMESTAMP", []) => {
            Bound::new("tds.datetime(tds.now_ticks())", SqlType::DateTime).not_null()
        }
        ("SYSDATETIME" | "SYSUTCDATETIME", []) => {
            Bound::new("tds.now_ticks()", SqlType::DateTime2(7)).not_null()
        }
        ("SYSDATETIMEOFFSET", []) => {
            Bound::new("ARRAY[tds.now_ticks(), 0]", SqlType::DateTimeOffset(7)).not_null()
        }
        ("DATEADD", [part, count, value]) => {
            let Some(ticks) = ticks_of(part) else {
                return Err(SqlError::unknown("DATEADD"));
            };
            let count = convert(count.clone(), SqlType::Int, How::IMPLICIT)?.sql;
            let value = match value.sql_type.kind() {
                Kind::Text => convert(value.clone(), SqlType::DateTime, How::IMPLICIT)?,
                _ => value.clone(),
            };
            let by = format!("{count}::bigint * {ticks}");
            match value.sql_type.kind() {
                Kind::Moment => convert(
                    Bound::new(format!("(({}) + {by})", value.sql), SqlType::DateTime2(7)),
                    value.sql_type,
                    How::IMPLICIT,
                )?,
                Kind::Date if ticks == "864000000000" => {
                    Bound::new(format!("(({}) + {count})", value.sql), SqlType::Date)
                }
                Kind::Offset => Bound::new(
                    format!("ARRAY[({0})[1] + {by}, ({0})[2]]", value.sql),
                    value.sql_type,
                ),
                _ => return Err(SqlError::unknown("DATEADD")),
            }
        }
        _ => return Ok(None),
    }))
}

fn ticks_of(part: &Bound) -> Option<&'static str> {
    let Some(Value::Text(part)) = &part.constant else {
        return None;
    };
    Some(match part.as_str() {
        "day" | "dd" => "864000000000",
        "hour" => "36000000000",
        "minute" => "600000000",
        "second" => TICKS_OF_SECOND,
        "millisecond" => "10000",
        "microsecond" => "10",
        _ => return None,
    })
}

fn data_length(value: &Bound) -> String {
    let sql = &value.sql;
    match value.sql_type {
        text if text.is_national() => format!("(tds.units({sql}) * 2)"),
        text if text.kind() == Kind::Text => format!("length({sql})"),
        bytes if bytes.kind() == Kind::Bytes => format!("octet_length({sql})"),
        other => format!(
            "(CASE WHEN ({sql}) IS NOT NULL THEN {} END)",
            other.sizes().0
        ),
    }
}

fn constant_text(value: &Bound) -> String {
    match &value.constant {
        Some(Value::Text(text)) => text.to_ascii_lowercase(),
        _ => String::new(),
    }
}

fn server_property(property: &Bound) -> Result<Bound> {
    let value = match constant_text(property).as_str() {
        "productversion" => Value::Text(VERSION.to_owned()),
        "productlevel" => Value::Text("RTM".to_owned()),
        "edition" => Value::Text("Developer Edition (64-bit)".to_owned()),
        "servername" | "machinename" => Value::Text("testserver".to_owned()),
        "collation" => Value::Text(Collation::DEFAULT.name().to_owned()),
        "engineedition" => Value::Integer(3),
        "productmajorversion" => Value::Text("16".to_owned()),
        "isintegratedsecurityonly" | "ishadrenabled" | "isclustered" => Value::Integer(0),
        "" => return Err(SqlError::unknown("SERVERPROPERTY")),
        _ => Value::Null,
    };
    variant_of(value)
}

fn database_property(property: &Bound) -> Result<Bound> {
    variant_of(match constant_text(property).as_str() {
        "collation" => Value::Text(Collation::DEFAULT.name().to_owned()),
        "status" => Value::Text("ONLINE".to_owned()),
        "updateability" => Value::Text("READ_WRITE".to_owned()),
        "" => return Err(SqlError::unknown("DATABASEPROPERTYEX")),
        _ => Value::Null,
    })
}

/// These functions answer in `sql_variant`; a constant of its own type converts to anything.
fn variant_of(value: Value) -> Result<Bound> {
    let sql_type = match &value {
        Value::Integer(_) => SqlType::Int,
        _ => text_type(128),
    };
    Bound::constant(value, sql_type)
}
