//! Which columns of a table get bloom filters, as its properties say by the names that other engines have.
//!
//! A filter tells whoever looks for few values of a column, in which no file has a range of its own, that a file has none
//! of them. What cannot be understood in a property counts as not written: another engine may have put it there.

use std::collections::BTreeMap;

use iceberg::spec::TableMetadata;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

use super::properties::ROW_GROUP_ROWS;

const ENABLED: &str = "write.parquet.bloom-filter-enabled.column.";
const WRONG_SHARE: &str = "write.parquet.bloom-filter-fpp.column.";
const MAX_BYTES: &str = "write.parquet.bloom-filter-max-bytes";

/// How often a filter takes a value for one that is there, and how large it may get in a row group, where the table does
/// not say: what other engines do.
const DEFAULT_WRONG_SHARE: f64 = 0.01;
const DEFAULT_MAX_BYTES: u64 = 1 << 20;

/// The bloom filters of a table's columns.
#[derive(Clone, Debug, Default)]
pub(in crate::lake) struct Blooms(BTreeMap<String, Bloom>);

/// The bloom filter of a column.
#[derive(Clone, Copy, Debug)]
struct Bloom {
    wrong_share: f64,
    /// How many different values of a row group it is made for. It gets smaller where there are fewer.
    values: u32,
}

impl Blooms {
    /// Those that the properties of a table ask for.
    pub(super) fn of(metadata: &TableMetadata) -> Self {
        let properties = metadata.properties();
        let max_bytes = properties.get(MAX_BYTES);
        let max_bytes = max_bytes.and_then(|text| text.parse().ok());
        let enabled = properties.iter().filter(|(_, value)| *value == "true");
        let columns = enabled.filter_map(|(key, _)| key.strip_prefix(ENABLED));
        let bloom = |column: &str| {
            let share = properties.get(&format!("{WRONG_SHARE}{column}"));
            let share = share.and_then(|text| text.parse().ok());
            let share = share.filter(|share| *share > 0.0 && *share < 1.0);
            let bloom = Bloom::within(
                share.unwrap_or(DEFAULT_WRONG_SHARE),
                max_bytes.unwrap_or(DEFAULT_MAX_BYTES),
            );
            (column.to_owned(), bloom)
        };
        Self(columns.map(bloom).collect())
    }

    /// Whether a column has one.
    pub(in crate::lake) fn has(&self, column: &str) -> bool {
        self.0.contains_key(column)
    }

    /// What those of an open file take, in bytes.
    pub(super) fn open_bytes(&self) -> usize {
        let sizes = self.0.values().map(Bloom::bytes);
        sizes.fold(0, |all, bytes| {
            all.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX))
        })
    }

    /// With these.
    pub(super) fn set(&self, mut builder: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
        for (column, bloom) in &self.0 {
            let path = || ColumnPath::from(column.as_str());
            builder = builder
                .set_column_bloom_filter_fpp(path(), bloom.wrong_share)
                .set_column_bloom_filter_ndv(path(), bloom.values.into());
        }
        builder
    }
}

impl Bloom {
    /// For as many values as a row group has rows, or as fit into so many bytes.
    fn within(wrong_share: f64, max_bytes: u64) -> Self {
        let mut bloom = Self {
            wrong_share,
            values: ROW_GROUP_ROWS.try_into().unwrap_or(u32::MAX),
        };
        while bloom.values > 1 && bloom.bytes() > max_bytes {
            bloom.values /= 2;
        }
        bloom
    }

    /// How large it can get: blocks of 32 bytes, whose number is a power of two.
    fn bytes(&self) -> u64 {
        // By the formula of the format for filters in blocks: each value sets eight bits.
        let a_value = -1.0 / (1.0 - self.wrong_share.powf(0.125)).ln();
        let wanted = (f64::from(self.values) * a_value).ceil();
        let mut powers = (5..=27).map(|power| 1_u32 << power);
        let fits = powers.find(|bytes| f64::from(*bytes) >= wanted);
        fits.unwrap_or(1 << 27).into()
    }
}

#[cfg(test)]
mod tests {
    use parquet::bloom_filter::Sbbf;

    use super::*;

    #[test]
    fn a_filter_is_no_larger_than_it_may_be() {
        for max_bytes in [32, 1000, 4096, 100_000, 1 << 20, u64::MAX] {
            for share in [0.5, 0.01, 0.000_001] {
                let bloom = Bloom::within(share, max_bytes);
                let made = Sbbf::new_with_ndv_fpp(bloom.values.into(), share).unwrap();
                assert_eq!(bloom.bytes(), made.num_blocks() as u64 * 32, "{bloom:?}");
                assert!(bloom.bytes() <= max_bytes || bloom.values == 1, "{bloom:?}");
            }
        }
    }
}
