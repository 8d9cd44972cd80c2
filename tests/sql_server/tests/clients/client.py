"""One way to connect, for clients that have each their own: `connect(client, port)`."""

import pytds

USER, PASSWORD = "sa", "Lakewright-1"


def connect(client: str, port: int, database: str = "shop", password: str = PASSWORD, encrypt: str = "yes", **more):
    """A connection without transactions of its own."""
    if client == "pytds":
        return pytds.connect(
            "127.0.0.1",
            database,
            USER,
            password,
            port=port,
            autocommit=True,
            use_mars=False,
            login_timeout=20,
            **more,
        )
    import mssql_python

    text = (
        f"Server=127.0.0.1,{port};Database={database};UID={USER};PWD={password};"
        f"Encrypt={encrypt};TrustServerCertificate=yes"
    )
    return mssql_python.connect(text, autocommit=True, **more)


def run(connection, sql: str, *values):
    """The rows of a statement, or none; values stand for `?` or `%s`."""
    cursor = connection.cursor()
    if values:
        marked = sql if type(connection).__module__.startswith("mssql") else sql.replace("?", "%s")
        cursor.execute(marked, values)
    else:
        cursor.execute(sql)
    rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    cursor.close()
    return rows


def refused(action) -> str:
    """What a client says of what must fail."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - each client has its own
        return f"{getattr(error, 'number', '')} {error} {error.args}"
    raise AssertionError("it was not refused")


def same(found, expected, what: str = "") -> None:
    assert found == expected, f"{what}: found {found!r}, expected {expected!r}"
