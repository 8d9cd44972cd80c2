//! The first day of a date's week, month, quarter or year, without a detour over the time of day.
//!
//! `CAST(date_trunc('month', d) AS DATE)` is how months are grouped by. DataFusion knows only times: it makes nanoseconds
//! of every date, takes them apart field by field, and makes a date of what is left. That took longer than reading the
//! dates and summing up by them, and nanoseconds end in 2262, before the 9999-12-31 of many systems. Knows the calendar;
//! knows nothing of steps and tables.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Date32Type};
use arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// Days from the first of March of the year 0 to 1970-01-01.
const EPOCH_DAY: i32 = 719_468;

/// Days of 400 years, after which the calendar begins anew.
const ERA_DAYS: i32 = 146_097;

/// Days of January and February, where the year is not a leap year.
const DAYS_BEFORE_MARCH: i32 = 59;

/// What a date may be cut to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Week,
    Month,
    Quarter,
    Year,
}

impl Part {
    fn of(name: &str) -> Option<Self> {
        Some(match name.to_lowercase().as_str() {
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => return None,
        })
    }

    /// How many days of the part are over before this day, counted from 1970-01-01.
    fn days_over(self, day: i32) -> i32 {
        if self == Self::Week {
            // 1970-01-01 was a Thursday, three days after a Monday.
            return (day.rem_euclid(7) + 3) % 7;
        }
        // Years begin in March here: then the day that leap years have more is their last, and the months before it
        // have 31, 30, 31, 30, 31 days, again and again, which is what the fractions of 153 are.
        let day_of_era = (day.rem_euclid(ERA_DAYS) + EPOCH_DAY) % ERA_DAYS;
        let year =
            (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let since_january = (month + 2) % 12;
        let back = match self {
            Self::Week | Self::Month => 0,
            Self::Quarter => since_january % 3,
            Self::Year => since_january,
        };
        if back <= month {
            return day_of_year - (153 * (month - back) + 2) / 5;
        }
        let leap = year % 4 == 0 && (year % 100 != 0 || year == 0);
        day_of_year + DAYS_BEFORE_MARCH + i32::from(leap)
    }
}

/// Cuts dates to a part.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    part: Part,
    signature: Signature,
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &'static str {
        "date_trunc_of_date"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let dates = ColumnarValue::values_to_arrays(&args.args)?;
        let first_day = |day: i32| {
            let first = day.checked_sub(self.part.days_over(day));
            first.ok_or_else(|| ArrowError::ComputeError("a date is out of range".to_owned()))
        };
        let [dates] = dates.as_slice() else {
            return internal_err!("one date is cut, not {}", dates.len());
        };
        let dates = dates.as_primitive::<Date32Type>();
        let cut = dates.try_unary::<_, Date32Type, _>(first_day)?;
        Ok(ColumnarValue::Array(Arc::new(cut)))
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        Ok(input
            .first()
            .map_or(SortProperties::Unordered, |date| date.sort_properties))
    }
}

/// The rule: what is cut as a time, and was and is to be a date, is cut as a date.
#[derive(Debug)]
pub(super) struct CutAsDate;

impl FunctionRewrite for CutAsDate {
    fn name(&self) -> &'static str {
        "cut_as_date"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        Ok(match cut_as_date(&expr, schema) {
            Some(cut) => Transformed::yes(cut),
            None => Transformed::no(expr),
        })
    }
}

fn cut_as_date(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let Expr::Cast(cast) = expr else { return None };
    let Expr::ScalarFunction(call) = cast.expr.as_ref() else {
        return None;
    };
    let [Expr::Literal(part, _), date] = call.args.as_slice() else {
        return None;
    };
    let is_date = |of: &DataType| *of == DataType::Date32;
    let dates = is_date(cast.field.data_type())
        && call.name() == "date_trunc"
        && date.get_type(schema).is_ok_and(|of| is_date(&of));
    let part = Part::of(part.try_as_str()??).filter(|_| dates)?;
    let cut = ScalarUDF::new_from_impl(DatePart {
        part,
        signature: Signature::exact(vec![DataType::Date32], Volatility::Immutable),
    });
    let args = vec![date.clone()];
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::new(cut),
        args,
    )))
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, Days, NaiveDate};

    use super::*;

    /// Every day of 800 years on both sides of 1970, and the days around the ends of what chrono knows.
    #[test]
    fn the_calendar_is_that_of_chrono() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for day in (-293_000..293_000)
            .chain(94_000_000..94_100_000)
            .chain(-96_000_000..-95_900_000)
        {
            let away = Days::new(u64::from(i32::unsigned_abs(day)));
            let date = if day < 0 { epoch - away } else { epoch + away };
            let over = |first: Option<NaiveDate>| (date - first.unwrap()).num_days();
            let (year, month) = (date.year(), date.month());
            let expected = [
                (Part::Week, i64::from(date.weekday().num_days_from_monday())),
                (Part::Month, i64::from(date.day0())),
                (
                    Part::Quarter,
                    over(NaiveDate::from_ymd_opt(year, (month - 1) / 3 * 3 + 1, 1)),
                ),
                (Part::Year, i64::from(date.ordinal0())),
            ];
            for (part, expected) in expected {
                assert_eq!(
                    i64::from(part.days_over(day)),
                    expected,
                    "{part:?} of {date}"
                );
            }
        }
    }

    #[test]
    fn the_ends_of_all_days_do_not_overflow() {
        for day in [i32::MIN, i32::MAX] {
            for part in [Part::Week, Part::Month, Part::Quarter, Part::Year] {
                assert!((0..366).contains(&part.days_over(day)), "{part:?} of {day}");
            }
        }
    }
}
