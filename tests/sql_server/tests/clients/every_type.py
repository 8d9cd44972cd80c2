"""The whole type matrix: python-tds writes literals, and both clients read the same values that they should."""

import datetime
import decimal
import sys
import uuid

import pytds
from client import connect, run, same

port = int(sys.argv[1])
D = decimal.Decimal
day, clock, moment = datetime.date, datetime.time, datetime.datetime


def zone(minutes: int) -> datetime.timezone:
    return datetime.timezone(datetime.timedelta(minutes=minutes))


LONG = "漢😀" * 3000
# Type, and for each row the literal in T-SQL and the value in Python.
MATRIX = [
    ("bit", [("0", False), ("1", True)]),
    ("tinyint", [("0", 0), ("255", 255)]),
    ("smallint", [("-32768", -32768), ("32767", 32767)]),
    ("int", [("-2147483648", -2147483648), ("2147483647", 2147483647)]),
    ("bigint", [("-9223372036854775808", -9223372036854775808), ("9223372036854775807", 9223372036854775807)]),
    ("decimal(5, 2)", [("-999.99", D("-999.99")), ("999.99", D("999.99"))]),
    ("decimal(18, 0)", [("-999999999999999999", D(-999999999999999999)), ("1", D(1))]),
    ("numeric(28, 10)", [("-0.0000000001", D("-0.0000000001")), ("123456789012345678.0123456789", D("123456789012345678.0123456789"))]),
    ("decimal(38, 0)", [("-" + "9" * 38, D("-" + "9" * 38)), ("9" * 38, D("9" * 38))]),
    ("decimal(38, 38)", [("-0." + "9" * 38, D("-0." + "9" * 38)), ("0." + "0" * 37 + "1", D("1E-38"))]),
    ("money", [("-922337203685477.5808", D("-922337203685477.5808")), ("$922337203685477.5807", D("922337203685477.5807"))]),
    ("smallmoney", [("-214748.3648", D("-214748.3648")), ("214748.3647", D("214748.3647"))]),
    ("real", [("-3.4028234663852886e38", -3.4028234663852886e38), ("0.5", 0.5)]),
    ("float", [("-1.7976931348623157e308", -1.7976931348623157e308), ("2.2250738585072014e-308", 2.2250738585072014e-308)]),
    ("date", [("'0001-01-01'", day(1, 1, 1)), ("'9999-12-31'", day(9999, 12, 31))]),
    ("time(0)", [("'00:00:00'", clock()), ("'23:59:59'", clock(23, 59, 59))]),
    ("time(3)", [("'00:00:00.001'", clock(0, 0, 0, 1000)), ("'23:59:59.999'", clock(23, 59, 59, 999000))]),
    ("time(6)", [("'00:00:00.000001'", clock(0, 0, 0, 1)), ("'23:59:59.999999'", clock(23, 59, 59, 999999))]),
    ("smalldatetime", [("'1900-01-01'", moment(1900, 1, 1)), ("'2079-06-06 23:59'", moment(2079, 6, 6, 23, 59))]),
    ("datetime", [("'1753-01-01'", moment(1753, 1, 1)), ("'9999-12-31 23:59:59.990'", moment(9999, 12, 31, 23, 59, 59, 990000))]),
    ("datetime2(0)", [("'0001-01-01'", moment(1, 1, 1)), ("'9999-12-31 23:59:59'", moment(9999, 12, 31, 23, 59, 59))]),
    ("datetime2(4)", [("'2024-02-29 01:02:03.0004'", moment(2024, 2, 29, 1, 2, 3, 400)), ("'1969-12-31 23:59:59.9999'", moment(1969, 12, 31, 23, 59, 59, 999900))]),
    ("datetime2(6)", [("'0001-01-01 00:00:00.000001'", moment(1, 1, 1, 0, 0, 0, 1)), ("'9999-12-31 23:59:59.999999'", moment(9999, 12, 31, 23, 59, 59, 999999))]),
    (
        "datetimeoffset(3)",
        [
            ("'2024-02-29 12:34:56.789 +05:30'", moment(2024, 2, 29, 12, 34, 56, 789000, zone(330))),
            ("'1999-12-31 23:59:59.999 -14:00'", moment(1999, 12, 31, 23, 59, 59, 999000, zone(-840))),
        ],
    ),
    ("char(5)", [("'ab'", "ab   "), ("'12345'", "12345")]),
    ("varchar(20)", [("''", ""), ("'caf\u00e9 \u20ac'", "caf\u00e9 \u20ac")]),
    ("varchar(20) COLLATE Cyrillic_General_CI_AS", [("N'Жизнь'", "Жизнь"), ("N'ё'", "ё")]),
    ("varchar(20) COLLATE Greek_CI_AS", [("N'λόγος'", "λόγος"), ("'a'", "a")]),
    ("varchar(20) COLLATE Japanese_CI_AS", [("N'日本'", "日本"), ("'a'", "a")]),
    ("varchar(20) COLLATE Latin1_General_100_CI_AS_SC_UTF8", [("N'漢😀'", "漢😀"), ("'a'", "a")]),
    ("nchar(4)", [("N'漢😀'", "漢😀 "), ("N'abcd'", "abcd")]),
    ("nvarchar(20)", [("N''", ""), ("N'😀𝄞'", "😀𝄞")]),
    ("varchar(max)", [("''", ""), ("REPLICATE('x', 20000)", "x" * 20000)]),
    ("nvarchar(max)", [("N''", ""), (f"N'{LONG}'", LONG)]),
    ("binary(4)", [("0x01", b"\x01\0\0\0"), ("0xffffffff", b"\xff" * 4)]),
    ("varbinary(20)", [("0x", b""), ("0x00ff", b"\0\xff")]),
    ("varbinary(max)", [("0x", b""), ("0x" + "ab" * 20000, b"\xab" * 20000)]),
    ("uniqueidentifier", [("'00112233-4455-6677-8899-AABBCCDDEEFF'", uuid.UUID("00112233-4455-6677-8899-AABBCCDDEEFF")), ("'00000000-0000-0000-0000-000000000000'", uuid.UUID(int=0))]),
    ("xml", [("N'<a>é</a>'", "<a>é</a>"), ("N'<b/>'", "<b/>")]),
    ("text", [("'abc'", "abc"), ("''", "")]),
    ("ntext", [("N'漢'", "漢"), ("N'a'", "a")]),
    ("image", [("0x00ff", b"\0\xff"), ("0x01", b"\x01")]),
]
# Types of which the two clients make different things, or nothing: what python-tds reads.
VARIANTS = [
    ("int", "5", 5),
    ("bigint", "-5", -5),
    ("bit", "1", True),
    ("decimal(10, 2)", "12.34", D("12.34")),
    ("money", "1.5", D("1.5")),
    ("float", "1.5", 1.5),
    ("nvarchar(20)", "N'漢'", "漢"),
    ("varchar(20)", "'é'", "é"),
    ("date", "'2024-02-29'", day(2024, 2, 29)),
    ("time(3)", "'12:34:56.789'", clock(12, 34, 56, 789000)),
    ("datetime", "'2024-02-29 12:34:56.99'", moment(2024, 2, 29, 12, 34, 56, 990000)),
    ("datetime2(3)", "'2024-02-29 12:34:56.789'", moment(2024, 2, 29, 12, 34, 56, 789000)),
    ("uniqueidentifier", "'00112233-4455-6677-8899-AABBCCDDEEFF'", uuid.UUID("00112233-4455-6677-8899-AABBCCDDEEFF")),
    ("varbinary(20)", "0x0102", b"\x01\x02"),
]

writer = connect("pytds", port)
readers = {"pytds": writer, "odbc": connect("odbc", port)}


def plain(value):
    """One form for what clients give in several."""
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        # A server writes XML with the mark of its byte order, which python-tds leaves where it is.
        return value.removeprefix("\ufeff")
    return value


def parameter(client: str, value):
    """Bytes as python-tds wants them told apart from text."""
    return pytds.Binary(value) if client == "pytds" and isinstance(value, bytes) else value


for number, (sql_type, rows) in enumerate(MATRIX):
    table = f"matrix_{number}"
    run(writer, f"CREATE TABLE {table} (id int NOT NULL PRIMARY KEY, optional {sql_type} NULL, required {sql_type} NOT NULL)")
    expected = []
    for at, (literal, value) in enumerate(rows):
        run(writer, f"INSERT INTO {table} VALUES ({at}, {literal}, {literal})")
        expected.append((at, value, value))
    literal, value = rows[-1]
    run(writer, f"INSERT INTO {table} VALUES ({len(rows)}, NULL, {literal})")
    expected.append((len(rows), None, value))
    for name, reader in readers.items():
        if name == "pytds" and "UTF8" in sql_type:
            continue  # It does not know that a collation can be UTF-8, and does not ask for such either.
        found = [tuple(plain(value) for value in row) for row in run(reader, f"SELECT * FROM {table} ORDER BY id")]
        same(found, expected, f"{sql_type} read by {name}")
    # A value goes out as a parameter and comes back as it went.
    if sql_type.split("(")[0] not in ("xml", "text", "ntext", "image", "real", "money", "smallmoney"):
        for name, reader in readers.items():
            if name == "odbc" and sql_type.startswith(("time", "smalldatetime", "binary", "varbinary", "uniqueidentifier", "datetimeoffset")):
                continue
            run(reader, f"UPDATE {table} SET optional = ? WHERE id = 0", parameter(name, value))
            same(plain(run(reader, f"SELECT optional FROM {table} WHERE id = 0")[0][0]), value, f"{sql_type} as a parameter of {name}")

for sql_type, literal, value in VARIANTS:
    run(writer, f"DROP TABLE IF EXISTS v; CREATE TABLE v (v sql_variant NULL); DECLARE @v {sql_type} = {literal}; INSERT INTO v VALUES (@v), (NULL)")
    same([plain(row[0]) for row in run(writer, "SELECT v FROM v")], [value, None], f"sql_variant of {sql_type}")

# Seven digits, which Python's clock has not: as text.
run(writer, "CREATE TABLE ticks (d datetime2(7), t time(7), o datetimeoffset(7), old datetime)")
run(
    writer,
    "INSERT INTO ticks VALUES ('9999-12-31 23:59:59.9999999', '23:59:59.9999999', "
    "'2024-02-29 12:34:56.1234567 +05:30', '2024-02-29 12:34:56.998')",
)
for name, reader in readers.items():
    same(
        run(reader, "SELECT CONVERT(varchar(40), d, 121), CONVERT(varchar(40), t), CONVERT(varchar(40), o), CONVERT(varchar(40), old, 121) FROM ticks"),
        [("9999-12-31 23:59:59.9999999", "23:59:59.9999999", "2024-02-29 12:34:56.1234567 +05:30", "2024-02-29 12:34:56.997")],
        name,
    )

# Types of .NET travel as bytes.
run(writer, "CREATE TABLE clr (h hierarchyid NULL, g geography NULL, m geometry NULL)")
run(writer, "INSERT INTO clr VALUES (0x58, 0xE6100000010C00000000000000000000000000000000, NULL)")
for name, reader in readers.items():
    found = [plain(value) for value in run(reader, "SELECT h, g, m FROM clr")[0]]
    same(found, [b"\x58", bytes.fromhex("E6100000010C00000000000000000000000000000000"), None], f"CLR types read by {name}")

# What does not fit is refused.
for literal, sql_type in [("256", "tinyint"), ("1000", "decimal(5, 2)"), ("'abcdef'", "char(5)"), ("N'ab😀'", "nvarchar(3)"), ("0x0102", "binary(1)")]:
    run(writer, f"DROP TABLE IF EXISTS narrow; CREATE TABLE narrow (v {sql_type})")
    try:
        run(writer, f"INSERT INTO narrow VALUES ({literal})")
    except pytds.Error:
        continue
    raise AssertionError(f"{literal} went into {sql_type}")
print("good")
