"""Where S3 is, in the words of whoever reads it.

Knows the variables that `tests/services/with` sets. Imports no reader: each costs a second.
"""

import os
import urllib.parse
from dataclasses import dataclass


@dataclass(frozen=True)
class S3:
    """An S3-compatible store, addressed path-style."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    def for_pyiceberg(self) -> dict[str, str]:
        return {
            "s3.endpoint": self.endpoint,
            "s3.access-key-id": self.access_key,
            "s3.secret-access-key": self.secret_key,
            "s3.region": self.region,
            "s3.path-style-access": "true",
        }

    def for_duckdb(self) -> str:
        url = urllib.parse.urlsplit(self.endpoint)
        options = {
            "KEY_ID": self.access_key,
            "SECRET": self.secret_key,
            "REGION": self.region,
            "ENDPOINT": url.netloc,
            "URL_STYLE": "path",
        }
        written = ", ".join(f"{name} {quoted(value)}" for name, value in options.items())
        return f"CREATE SECRET (TYPE s3, USE_SSL {url.scheme == 'https'}, {written})"


def s3_of_the_tests() -> S3 | None:
    """The store that `tests/services/with` started."""
    endpoint = os.environ.get("LAKEWRIGHT_TEST_S3_ENDPOINT")
    if not endpoint:
        return None
    access_key, secret_key = (os.environ[f"LAKEWRIGHT_TEST_S3_{name}"] for name in ("ACCESS_KEY", "SECRET_KEY"))
    return S3(endpoint, access_key, secret_key)


def quoted(text: str) -> str:
    """Text in SQL."""
    return "'" + text.replace("'", "''") + "'"
