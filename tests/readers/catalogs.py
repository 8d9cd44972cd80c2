"""PyIceberg's own catalogs over those that Lakewright writes.

Knows how each is opened. Each import costs most of a second, and so is made where it is needed.
"""

from pyiceberg.catalog import Catalog
from store import S3


def sql_catalog(url: str, s3: S3 | None) -> Catalog:
    """The tables in SQLite or PostgreSQL; `postgres://` is understood too."""
    from pyiceberg.catalog.sql import SqlCatalog

    scheme, rest = url.split("://", 1)
    driver = "postgresql+psycopg2" if scheme in ("postgres", "postgresql") else scheme
    storage = s3.for_pyiceberg() if s3 else {}
    # A reader must not create the tables it looks for: an empty catalog is a finding.
    return SqlCatalog("lakewright", uri=f"{driver}://{rest}", init_catalog_tables="false", **storage)


def rest_catalog(uri: str, warehouse: str, token: str, s3: S3 | None) -> Catalog:
    from pyiceberg.catalog.rest import RestCatalog

    storage = s3.for_pyiceberg() if s3 else {}
    return RestCatalog("lakewright", uri=uri, warehouse=warehouse, token=token, **storage)
