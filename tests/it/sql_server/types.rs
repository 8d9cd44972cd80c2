//! Every type, with NULL, its ends and odd values, as it arrives.

use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;

/// A type, the Arrow type that it becomes, and literals with the text of what is read.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// What a server stores is what is read, value by value.
const MATRIX: &[Case] = &[
    ("bit", "Boolean", &[("0", "false"), ("1", "true")]),
    ("tinyint", "Int32", &[("0", "0"), ("255", "255")]),
    (
        "smallint",
        "Int32",
        &[("-32768", "-32768"), ("32767", "32767")],
    ),
    (
        "int",
        "Int32",
        &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")],
    ),
    (
        "bigint",
        "Int64",
        &[
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775807", "9223372036854775807"),
        ],
    ),
    (
        "decimal(5, 2)",
        "Decimal128(5, 2)",
        &[("-999.99", "-999.99"), ("0.01", "0.01")],
    ),
    (
        "numeric(28, 10)",
        "Decimal128(28, 10)",
        &[
            ("-0.0000000001", "-0.0000000001"),
            (
                "123456789012345678.0123456789",
                "123456789012345678.0123456789",
            ),
        ],
    ),
    (
        "decimal(38, 0)",
        "Decimal128(38, 0)",
        &[(
            "-99999999999999999999999999999999999999",
            "-99999999999999999999999999999999999999",
        )],
    ),
    (
        "decimal(38, 38)",
        "Decimal128(38, 38)",
        &[(
            "0.00000000000000000000000000000000000001",
            "0.00000000000000000000000000000000000001",
        )],
    ),
    (
        "money",
        "Decimal128(19, 4)",
        &[
            ("-922337203685477.5808", "-922337203685477.5808"),
            ("922337203685477.5807", "922337203685477.5807"),
            ("-0.0001", "-0.0001"),
        ],
    ),
    (
        "smallmoney",
        "Decimal128(10, 4)",
        &[
            ("-214748.3648", "-214748.3648"),
            ("214748.3647", "214748.3647"),
        ],
    ),
    (
        "real",
        "Float32",
        &[("-3.4028234663852886e38", "-3.4028235e38"), ("0.5", "0.5")],
    ),
    (
        "float",
        "Float64",
        &[
            ("-1.7976931348623157e308", "-1.7976931348623157e308"),
            ("2.2250738585072014e-308", "2.2250738585072014e-308"),
        ],
    ),
    (
        "date",
        "Date32",
        &[
            ("'0001-01-01'", "0001-01-01"),
            ("'9999-12-31'", "9999-12-31"),
            ("'2024-02-29'", "2024-02-29"),
        ],
    ),
    ("time(0)", "Time64(µs)", &[("'23:59:59'", "23:59:59")]),
    (
        "time(3)",
        "Time64(µs)",
        &[("'00:00:00.001'", "00:00:00.001")],
    ),
    (
        "time(6)",
        "Time64(µs)",
        &[("'23:59:59.999999'", "23:59:59.999999")],
    ),
    (
        "smalldatetime",
        "Timestamp(µs)",
        &[
            ("'1900-01-01'", "1900-01-01T00:00:00"),
            ("'2079-06-06 23:59'", "2079-06-06T23:59:00"),
        ],
    ),
    // Ticks of 1/300 of a second, as `CAST(… AS datetime2(6))` shows them.
    (
        "datetime",
        "Timestamp(µs)",
        &[
            ("'1753-01-01'", "1753-01-01T00:00:00"),
            ("'9999-12-31 23:59:59.997'", "9999-12-31T23:59:59.996667"),
            ("'2024-02-29 12:34:56.003'", "2024-02-29T12:34:56.003333"),
        ],
    ),
    (
        "datetime2(0)",
        "Timestamp(µs)",
        &[
            ("'0001-01-01'", "0001-01-01T00:00:00"),
            ("'9999-12-31 23:59:59'", "9999-12-31T23:59:59"),
        ],
    ),
    (
        "datetime2(4)",
        "Timestamp(µs)",
        &[("'1969-12-31 23:59:59.9999'", "1969-12-31T23:59:59.999900")],
    ),
    (
        "datetime2(6)",
        "Timestamp(µs)",
        &[
            ("'0001-01-01 00:00:00.000001'", "0001-01-01T00:00:00.000001"),
            ("'9999-12-31 23:59:59.999999'", "9999-12-31T23:59:59.999999"),
        ],
    ),
    // The moment is kept, the zone it was written in is not.
    (
        "datetimeoffset(3)",
        "Timestamp(µs, \"UTC\")",
        &[
            (
                "'2024-02-29 12:34:56.789 +05:30'",
                "2024-02-29T07:04:56.789Z",
            ),
            (
                "'1999-12-31 23:59:59.999 -14:00'",
                "2000-01-01T13:59:59.999Z",
            ),
        ],
    ),
    ("char(5)", "Utf8", &[("'ab'", "ab   ")]),
    (
        "varchar(20)",
        "Utf8",
        &[("''", ""), ("'caf\u{e9} \u{20ac}'", "caf\u{e9} \u{20ac}")],
    ),
    (
        "varchar(20) COLLATE Cyrillic_General_CI_AS",
        "Utf8",
        &[("N'Жизнь'", "Жизнь")],
    ),
    (
        "varchar(20) COLLATE Greek_CI_AS",
        "Utf8",
        &[("N'λόγος'", "λόγος")],
    ),
    (
        "varchar(20) COLLATE Japanese_CI_AS",
        "Utf8",
        &[("N'日本'", "日本")],
    ),
    (
        "varchar(20) COLLATE Latin1_General_100_CI_AS_SC_UTF8",
        "Utf8",
        &[("N'漢😀'", "漢😀")],
    ),
    ("nchar(4)", "Utf8", &[("N'漢😀'", "漢😀 ")]),
    (
        "nvarchar(20)",
        "Utf8",
        &[("N''", ""), ("N'😀𝄞 plain'", "😀𝄞 plain")],
    ),
    ("varchar(max)", "Utf8", &[("''", ""), ("'x'", "x")]),
    ("nvarchar(max)", "Utf8", &[("N'é'", "é")]),
    ("binary(4)", "Binary", &[("0x01", "01000000")]),
    ("varbinary(20)", "Binary", &[("0x", ""), ("0x00ff", "00ff")]),
    ("varbinary(max)", "Binary", &[("0xabcd", "abcd")]),
    (
        "uniqueidentifier",
        "FixedSizeBinary(16)",
        &[(
            "'00112233-4455-6677-8899-AABBCCDDEEFF'",
            "00112233445566778899aabbccddeeff",
        )],
    ),
    ("xml", "Utf8", &[("N'<a>é</a>'", "<a>é</a>")]),
    ("text", "Utf8", &[("'abc'", "abc")]),
    ("ntext", "Utf8", &[("N'漢'", "漢")]),
    ("image", "Binary", &[("0x00ff", "00ff")]),
];

/// The values of a column as text, NULL as `None`.
fn shown(batches: &[RecordBatch], column: usize) -> Vec<Option<String>> {
    let options = FormatOptions::default();
    let mut values = Vec::new();
    for batch in batches {
        let array = batch.column(column);
        let text = ArrayFormatter::try_new(array, &options).unwrap();
        values.extend(
            (0..batch.num_rows())
                .map(|row| array.is_valid(row).then(|| text.value(row).to_string())),
        );
    }
    values
}

#[tokio::test]
async fn every_type_arrives_as_it_is_stored() {
    let Some(mut bench) = Bench::new(&[]).await else {
        return;
    };
    let connection = bench.address.open(1, json!({})).await.unwrap();
    for (number, (sql_type, arrow_type, values)) in MATRIX.iter().enumerate() {
        let table = format!("matrix_{number}");
        let create = format!(
            "CREATE TABLE {table} (id int NOT NULL PRIMARY KEY, optional {sql_type} NULL, required {sql_type} NOT NULL)"
        );
        bench.sql.run(&create).await;
        let mut expected = Vec::new();
        for (id, (literal, value)) in values.iter().enumerate() {
            let insert = format!("INSERT INTO {table} VALUES ({id}, {literal}, {literal})");
            bench.sql.run(&insert).await;
            expected.push(Some((*value).to_owned()));
        }
        let (literal, value) = values.last().unwrap();
        let insert = format!("INSERT INTO {table} VALUES (100, NULL, {literal})");
        bench.sql.run(&insert).await;
        let required: Vec<_> = expected
            .iter()
            .cloned()
            .chain([Some((*value).to_owned())])
            .collect();
        expected.push(None);
        let batches = rows(&*connection, &Read::table(&table)).await.unwrap();
        let schema = batches[0].schema();
        assert_eq!(
            schema.field(1).data_type().to_string(),
            arrow_type
                .replace("Some(\"UTC\")", "\"UTC\"")
                .replace(", None)", ")"),
            "{sql_type}"
        );
        assert!(schema.field(1).is_nullable() && !schema.field(2).is_nullable());
        assert_eq!(shown(&batches, 1), expected, "{sql_type}");
        assert_eq!(shown(&batches, 2), required, "{sql_type}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn long_values_come_whole_and_batches_end_before_they_are_large() {
    let Some(mut bench) = Bench::new(&["CREATE TABLE long (id int NOT NULL PRIMARY KEY, words nvarchar(max) NULL, bytes varbinary(max) NULL)"]).await else {
        return;
    };
    let words = "漢😀 and more ".repeat(50_000);
    let insert = format!(
        "INSERT INTO long VALUES (0, N'{words}', 0x{})",
        "ab".repeat(100_000)
    );
    bench.sql.run(&insert).await;
    for copies in [1, 2, 4, 8, 16] {
        let double = format!("INSERT INTO long SELECT id + {copies}, words, bytes FROM long");
        bench.sql.run(&double).await;
    }
    let connection = bench.address.open(1, json!({})).await.unwrap();
    let batches = rows(&*connection, &Read::table("long")).await.unwrap();
    assert!(
        batches.len() > 1,
        "32 rows of 1.3 MB are more than one batch"
    );
    assert_eq!(shown(&batches, 1), vec![Some(words); 32]);
    assert_eq!(shown(&batches, 2), vec![Some("ab".repeat(100_000)); 32]);
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_carried_is_refused_before_anything_is_read() {
    let Some(mut bench) = Bench::new(&[
        "CREATE TABLE odd (id int NOT NULL PRIMARY KEY, at datetime2(7) NULL, clock time(7) NULL, zoned datetimeoffset(7) NULL, \
         any sql_variant NULL, node hierarchyid NULL, place geography NULL)",
        "INSERT INTO odd (id, at, clock, zoned) VALUES (1, '2024-02-29 12:34:56.1234567', '12:34:56.1234567', '2024-02-29 12:34:56.1234567 +01:00')",
        "DECLARE @v decimal(10, 2) = 12.34; UPDATE odd SET any = @v",
    ])
    .await
    else {
        return;
    };
    let connection = bench.address.open(1, json!({})).await.unwrap();
    let of = |column: &str| Read {
        columns: Some(vec!["id".to_owned(), column.to_owned()]),
        ..Read::table("odd")
    };
    for (column, help) in [
        ("at", "CAST([at] AS datetime2(6))"),
        ("clock", "CAST([clock] AS time(6))"),
        ("zoned", "CAST([zoned] AS datetimeoffset(6))"),
        ("any", "CAST([any] AS nvarchar(4000))"),
        ("node", "[node].ToString()"),
        ("place", "[place].AsBinaryZM()"),
    ] {
        let error = fails(&*connection, &of(column)).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{column}");
        assert!(error.message().contains(column), "{error}");
        assert!(error.help_text().unwrap().contains(help), "{error:?}");
    }

    // Whoever says that the loss is known gets what is left.
    let allowed = |column: &str, loss: &str| Read {
        options: json!({ "allow_lossy": { column: [loss] } }),
        ..of(column)
    };
    for (column, loss, value) in [
        ("at", "sub_microsecond", "2024-02-29T12:34:56.123456"),
        ("clock", "sub_microsecond", "12:34:56.123456"),
        ("zoned", "sub_microsecond", "2024-02-29T11:34:56.123456Z"),
        ("any", "variant_type", "12.34"),
    ] {
        let batches = rows(&*connection, &allowed(column, loss)).await.unwrap();
        assert_eq!(shown(&batches, 1), [Some(value.to_owned())], "{column}");
    }
    bench.sql.run("DROP TABLE odd").await;
    bench.stop().await;
}
