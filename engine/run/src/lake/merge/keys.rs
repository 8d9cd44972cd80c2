//! Which files can hold a row with one of many keys: told by the bounds of their columns and by their partition.
//!
//! Ranges, not keys, are remembered: a bounded number of them, however many keys there are. A file that is named may
//! hold none of the keys; a file that is not named surely holds none.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortOptions, sort_to_indices, take};
use arrow::datatypes::{DataType, Date32Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use connectors::Result;
use datafusion::common::ScalarValue;
use iceberg::spec::{
    DataFile, Datum, PartitionSpec, PartitionSpecRef, PrimitiveLiteral, Struct, Transform,
};

use super::blooms::{FewValues, Looked};
use crate::lake::files::LiveFile;
use crate::lake::partition::widened;
use crate::lake::writer::{Shape, Splitter};

/// Ranges that one batch of a column is told by.
const BATCH_RANGES: usize = 256;
/// Ranges of one column; more are merged with their neighbours.
const MAX_RANGES: usize = 16 * 1024;
/// Partitions beyond which they no longer tell files apart.
const MAX_PARTITIONS: usize = 10_000;

/// Where the keys of rows lie.
pub struct Keys(SeenKeys);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} columns)", self.0.columns.len())
    }
}

/// Where the keys of the rows seen so far lie.
pub struct SeenKeys {
    columns: Vec<KeyColumn>,
    /// By each way in which the table is or was cut.
    partitions: Vec<Partitions>,
}

impl SeenKeys {
    /// No keys yet; `columns` are the key's, `rows` the columns of the rows that will come, in the table's types.
    pub(super) fn none(columns: &[String], rows: &SchemaRef, shape: &Shape) -> Result<Self> {
        let comparable = columns.iter().filter_map(|name| {
            let (index, field) = rows.column_with_name(name)?;
            let id = shape.schema().field_id_by_name(name)?;
            let has_bloom = shape.blooms().has(name);
            has_bounds(field.data_type())
                .then(|| KeyColumn::none(index, id, field.data_type(), has_bloom))
        });
        let specs = shape.specs().iter();
        let partitions = specs.filter_map(|spec| Partitions::none(spec, columns, rows, shape));
        Ok(Self {
            columns: comparable.collect::<Result<_>>()?,
            partitions: partitions.collect(),
        })
    }

    /// The same, where rows are known only by values of one more column that lie no further than `reach` away.
    pub(super) fn near(
        mut self,
        column: &str,
        reach: i64,
        rows: &SchemaRef,
        shape: &Shape,
    ) -> Result<Self> {
        let found = rows.column_with_name(column);
        let id = shape.schema().field_id_by_name(column);
        if let (Some((index, field)), Some(id)) = (found, id)
            && has_bounds(field.data_type())
        {
            let mut column = KeyColumn::none(index, id, field.data_type(), false)?;
            column.reach = reach;
            self.columns.push(column);
        }
        Ok(self)
    }

    /// Takes in the keys of rows.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        for column in &mut self.columns {
            column.add(rows.column(column.index))?;
        }
        for partitions in &mut self.partitions {
            partitions.add(rows)?;
        }
        self.partitions
            .retain(|partitions| partitions.values.len() <= MAX_PARTITIONS);
        Ok(())
    }

    /// The keys of all rows.
    pub fn finish(mut self) -> Keys {
        for column in &mut self.columns {
            column.coalesce(MAX_RANGES);
        }
        Keys(self)
    }
}

impl Keys {
    /// Whether a file can hold a row with one of the keys.
    pub(in crate::lake) fn may_be_in(&self, file: &LiveFile) -> bool {
        let Self(seen) = self;
        seen.columns.iter().all(|column| column.meets(&file.file))
            && seen.partitions.iter().all(|partitions| {
                !partitions.are_of(&file.spec)
                    || partitions.values.contains(&widened(file.file.partition()))
            })
    }
}

impl Keys {
    /// Columns of which so few values are looked for that bloom filters tell files apart.
    pub(super) fn looked(&self) -> Vec<Looked<'_>> {
        let Self(seen) = self;
        let few = seen.columns.iter().filter(|column| column.few.are_known());
        few.map(|column| Looked {
            column: column.id,
            r#type: &column.r#type,
            values: &column.few,
        })
        .collect()
    }
}

/// The least and the greatest of some values, as bytes that sort like the values.
type Range = (Box<[u8]>, Box<[u8]>);

/// A column of the key whose values files have bounds of.
struct KeyColumn {
    index: usize,
    id: i32,
    r#type: DataType,
    converter: RowConverter,
    /// How far beside a value others may lie that count as well, in the unit of the type.
    reach: i64,
    /// The values themselves.
    few: FewValues,
    /// Where the values lie; in order and apart from each other once they were coalesced.
    ranges: Vec<Range>,
}

impl KeyColumn {
    /// No values yet; with `has_bloom` files may have bloom filters of it.
    fn none(index: usize, id: i32, r#type: &DataType, has_bloom: bool) -> Result<Self> {
        Ok(Self {
            index,
            id,
            r#type: r#type.clone(),
            converter: RowConverter::new(vec![SortField::new(r#type.clone())])?,
            reach: 0,
            few: FewValues::none(has_bloom),
            ranges: Vec::new(),
        })
    }

    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.few.add(values);
        let order = sort_to_indices(values, Some(SortOptions::default()), None)?;
        let sorted = take(values, &order, None)?;
        let moved = |by| self.converter.convert_columns(&[moved(&sorted, by)]);
        let (lows, highs) = (moved(-self.reach)?, moved(self.reach)?);
        let size = sorted.len().div_ceil(BATCH_RANGES);
        let mut first = 0;
        while first < sorted.len() {
            let last = (first + size).min(sorted.len()) - 1;
            let (low, high) = (lows.row(first).data(), highs.row(last).data());
            self.ranges.push((low.into(), high.into()));
            first = last + 1;
        }
        // Not with every batch: sorting what is sorted would be most of the work.
        if self.ranges.len() > 2 * MAX_RANGES {
            self.coalesce(MAX_RANGES);
        }
        Ok(())
    }

    /// Joins ranges that overlap; then neighbours, until there are no more than `most`.
    fn coalesce(&mut self, most: usize) {
        let mut ranges = std::mem::take(&mut self.ranges);
        ranges.sort();
        let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match joined.last_mut() {
                Some((_, end)) if low <= *end => {
                    if high > *end {
                        *end = high;
                    }
                }
                _ => joined.push((low, high)),
            }
        }
        while joined.len() > most {
            let mut pairs = joined.into_iter();
            let mut fewer = Vec::new();
            while let Some((low, high)) = pairs.next() {
                let high = pairs.next().map_or(high, |(_, end)| end);
                fewer.push((low, high));
            }
            joined = fewer;
        }
        self.ranges = joined;
    }

    /// Whether some value may lie between the file's bounds. Bounds that are not known exclude nothing.
    fn meets(&self, file: &DataFile) -> bool {
        let bound = |bounds: &std::collections::HashMap<i32, Datum>| {
            let value = bounds.get(&self.id)?;
            let array = scalar(value, &self.r#type)?.to_array().ok()?;
            let rows = self.converter.convert_columns(&[array]).ok()?;
            Some(Box::<[u8]>::from(rows.row(0).data()))
        };
        let (Some(low), Some(high)) = (bound(file.lower_bounds()), bound(file.upper_bounds()))
        else {
            return true;
        };
        let first = self.ranges.partition_point(|(_, end)| *end < low);
        self.ranges
            .get(first)
            .is_some_and(|(start, _)| *start <= high)
    }
}

/// Days or times, each so much later; other values as they are.
fn moved(values: &ArrayRef, by: i64) -> ArrayRef {
    match values.data_type() {
        DataType::Date32 if by != 0 => {
            let by = i32::try_from(by).unwrap_or(if by < 0 { i32::MIN } else { i32::MAX });
            let days = values.as_primitive::<Date32Type>();
            Arc::new(days.unary::<_, Date32Type>(|day| day.saturating_add(by)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) if by != 0 => {
            let times = values.as_primitive::<TimestampMicrosecondType>();
            let moved = times.unary::<_, TimestampMicrosecondType>(|time| time.saturating_add(by));
            Arc::new(moved.with_timezone_opt(zone.clone()))
        }
        _ => Arc::clone(values),
    }
}

/// Partitions that the keys fall into by one way of cutting a table, where the key alone decides that.
struct Partitions {
    splitter: Splitter,
    spec: PartitionSpecRef,
    values: HashSet<Struct>,
}

impl Partitions {
    /// `None` where partitions tell nothing of keys; an older way of cutting may not even fit the table any more.
    fn none(
        spec: &PartitionSpecRef,
        key: &[String],
        rows: &SchemaRef,
        shape: &Shape,
    ) -> Option<Self> {
        let schema = shape.schema();
        let decided = spec.fields().iter().all(|field| {
            let name = schema.name_by_field_id(field.source_id);
            name.is_some_and(|name| key.iter().any(|key| key == name))
        });
        // The splitter looks columns up by their identifiers, which only rows with all of them carry.
        let whole = rows.fields().len() == schema.as_struct().fields().len();
        if !decided || !whole {
            return None;
        }
        let splitter = Splitter::by(spec, schema).ok()??;
        Some(Self {
            splitter,
            spec: Arc::clone(spec),
            values: HashSet::new(),
        })
    }

    /// Whether files are cut in this way. Not by the number alone: that of a way that was never committed may be given
    /// to another one.
    fn are_of(&self, spec: &PartitionSpec) -> bool {
        let ways = |spec: &PartitionSpec| -> Vec<(i32, Transform)> {
            let fields = spec.fields().iter();
            fields
                .map(|field| (field.source_id, field.transform))
                .collect()
        };
        self.spec.spec_id() == spec.spec_id() && ways(&self.spec) == ways(spec)
    }

    fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let values = self.splitter.partitions_of(rows)?;
        self.values.extend(values.iter().map(widened));
        Ok(())
    }
}

/// Whether bounds of this type can be compared with values.
fn has_bounds(r#type: &DataType) -> bool {
    matches!(
        r#type,
        DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Utf8
            | DataType::Decimal128(..)
            | DataType::FixedSizeBinary(16)
    )
}

/// A bound as a value of the column's type now; files may be older than a wider type.
fn scalar(bound: &Datum, r#type: &DataType) -> Option<ScalarValue> {
    Some(match (r#type, bound.literal()) {
        (DataType::Int32, PrimitiveLiteral::Int(value)) => ScalarValue::Int32(Some(*value)),
        (DataType::Int64, PrimitiveLiteral::Int(value)) => {
            ScalarValue::Int64(Some(i64::from(*value)))
        }
        (DataType::Int64, PrimitiveLiteral::Long(value)) => ScalarValue::Int64(Some(*value)),
        (DataType::Date32, PrimitiveLiteral::Int(days)) => ScalarValue::Date32(Some(*days)),
        (DataType::Timestamp(TimeUnit::Microsecond, zone), PrimitiveLiteral::Long(micros)) => {
            ScalarValue::TimestampMicrosecond(Some(*micros), zone.clone())
        }
        (DataType::Utf8, PrimitiveLiteral::String(text)) => ScalarValue::Utf8(Some(text.clone())),
        (DataType::Decimal128(precision, scale), PrimitiveLiteral::Int128(unscaled)) => {
            ScalarValue::Decimal128(Some(*unscaled), *precision, *scale)
        }
        (DataType::FixedSizeBinary(16), PrimitiveLiteral::UInt128(value)) => {
            ScalarValue::FixedSizeBinary(16, Some(value.to_be_bytes().to_vec()))
        }
        _ => return None,
    })
}

/// The least value of a column in a file, as bytes that sort like the values: files of a table that is sorted by the
/// column come in its order.
pub(super) fn lower_bound(file: &DataFile, id: i32, r#type: &DataType) -> Option<Arc<[u8]>> {
    let value = scalar(file.lower_bounds().get(&id)?, r#type)?
        .to_array()
        .ok()?;
    let converter = RowConverter::new(vec![SortField::new(r#type.clone())]).ok()?;
    let rows = converter.convert_columns(&[value]).ok()?;
    Some(rows.row(0).data().into())
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn column(values: &[i64]) -> KeyColumn {
        let mut column = KeyColumn::none(0, 1, &DataType::Int64, false).unwrap();
        for some in values.chunks(3) {
            let some: ArrayRef = Arc::new(Int64Array::from(some.to_vec()));
            column.add(&some).unwrap();
        }
        column.coalesce(MAX_RANGES);
        column
    }

    fn file(low: i64, high: i64) -> DataFile {
        bounded(Datum::long(low), Datum::long(high))
    }

    fn bounded(low: Datum, high: Datum) -> DataFile {
        iceberg::spec::DataFileBuilder::default()
            .content(iceberg::spec::DataContentType::Data)
            .file_path("f".to_owned())
            .file_format(iceberg::spec::DataFileFormat::Parquet)
            .partition(Struct::empty())
            .record_count(1)
            .file_size_in_bytes(1)
            .lower_bounds([(1, low)].into())
            .upper_bounds([(1, high)].into())
            .build()
            .unwrap()
    }

    #[test]
    fn a_file_is_met_where_a_key_lies_between_its_bounds() {
        let keys = column(&[70, -3, 12, 12, 40, 41, 900]);
        for (low, high, met) in [
            (-10, -4, false),
            (-10, -3, true),
            (13, 39, false),
            (39, 40, true),
            (42, 69, false),
            (900, 900, true),
            (901, i64::MAX, false),
        ] {
            assert_eq!(keys.meets(&file(low, high)), met, "{low}..={high}");
        }
    }

    #[test]
    fn a_time_is_met_where_it_lies_no_further_away_than_it_may() {
        let r#type = DataType::Date32;
        let mut column = KeyColumn::none(0, 1, &r#type, false).unwrap();
        column.reach = 3;
        let days: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![i32::MAX, 10, 30]));
        column.add(&days).unwrap();
        column.coalesce(MAX_RANGES);
        for (low, high, met) in [
            (0, 6, false),
            (0, 7, true),
            (13, 13, true),
            (14, 26, false),
            (33, 90, true),
            (34, 90, false),
            (i32::MAX - 3, i32::MAX, true),
        ] {
            let file = bounded(Datum::date(low), Datum::date(high));
            assert_eq!(column.meets(&file), met, "{low}..={high}");
        }
    }

    #[test]
    fn fewer_ranges_still_hold_every_key() {
        let values: Vec<i64> = (0..1000).map(|value| value * 10).collect();
        let mut keys = column(&values);
        keys.coalesce(7);
        assert!(keys.ranges.len() <= 7);
        assert!(values.iter().all(|value| keys.meets(&file(*value, *value))));
        assert!(!keys.meets(&file(-5, -1)));
    }

    #[test]
    fn a_file_without_bounds_may_hold_anything() {
        let unknown = iceberg::spec::DataFileBuilder::default()
            .content(iceberg::spec::DataContentType::Data)
            .file_path("f".to_owned())
            .file_format(iceberg::spec::DataFileFormat::Parquet)
            .partition(Struct::empty())
            .record_count(1)
            .file_size_in_bytes(1)
            .build()
            .unwrap();
        assert!(column(&[5]).meets(&unknown));
    }
}
