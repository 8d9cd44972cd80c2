"""TDS 8: TLS from the first byte, and a certificate that is looked at."""

import sys

import mssql_python
from client import PASSWORD, USER, refused, run, same

port, certificate = int(sys.argv[1]), sys.argv[2]
text = f"Server=127.0.0.1,{port};Database=shop;UID={USER};PWD={PASSWORD};Encrypt=strict;"
db = mssql_python.connect(text + f"ServerCertificate={certificate};", autocommit=True)
same(run(db, "SELECT N'ganz' + N' zu'"), [("ganz zu",)])
refused(lambda: mssql_python.connect(text))
print("good")
