"""An Iceberg REST catalog that behaves as it is told, for one test.

    catalog.py OPTIONS

OPTIONS is a JSON object; S3 is where `tests/services/with` says:

    folder            where the pointers are kept
    warehouse         where tables go: s3://bucket/prefix
    token_lifetime    seconds a token is good for        (3600)
    key_lifetime      seconds keys to the files are good for; without it none are handed out
    vend              "config", "credentials" or "endpoint": where the keys are told
    staging           what a staged creation answers: 200, or a refusal
    commit_creates    whether a commit makes a table that is not there        (true)
    transactions      whether several tables change in one step               (false)

It prints its address, then answers each line on stdin with one on stdout: a list of faults for the next commits (`409`,
`500`, `503`, `"drop"` the reply after the commit took effect, `"break"` off before it), or `"report"`. It ends with its
stdin. Every message quotes the token it came with: what a client repeats of that is the client's fault.
"""

import json
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "readers"))

import gate
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from store import s3_of_the_tests

CLIENT = ("engine", "client-secret-0815")
STATUS = {
    NoSuchTableError: 404,
    NoSuchNamespaceError: 404,
    CommitFailedException: 409,
    TableAlreadyExistsError: 409,
    NamespaceAlreadyExistsError: 409,
}


class Refused(Exception):
    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class Dropped(Exception):
    """No reply."""


class State:
    """What the server is and was told, and what it saw."""

    def __init__(self, options: dict):
        self.options = options
        self.s3 = s3_of_the_tests()
        self.catalog = SqlCatalog(
            "lakewright", uri=f"sqlite:///{options['folder']}/catalog.db", warehouse=options["warehouse"],
            **self.s3.for_pyiceberg(),
        )
        self.tokens: dict[str, float] = {}
        self.faults: list = []
        self.keys = gate.Keys(options.get("key_lifetime") or 0)
        self.seen = {"stale_tokens": 0, "staged": 0, "made": 0, "dropped": 0, "commits": 0, "transactions": 0,
                     "keys_asked": 0}
        self.gate = None
        self.lock = threading.RLock()

    def token(self, form: dict) -> dict:
        if (form.get("client_id"), form.get("client_secret")) != CLIENT:
            raise Refused(401, f"client secret {form.get('client_secret')} is wrong")
        token = f"token-{len(self.tokens) + 1}-of-the-catalog"
        lifetime = self.options.get("token_lifetime", 3600)
        self.tokens[token] = time.time() + lifetime
        return {"access_token": token, "token_type": "bearer", "expires_in": lifetime}

    def check(self, authorization: str | None) -> None:
        token = (authorization or "").removeprefix("Bearer ")
        if self.tokens.get(token, 0) < time.time():
            self.seen["stale_tokens"] += token in self.tokens
            raise Refused(401, f"the token {token} is not good")

    def report(self) -> dict:
        return {
            **self.seen,
            "tokens": len(self.tokens),
            "keys": len(self.keys.given),
            "keys_used": len(self.keys.used),
            "keys_refused": self.keys.refused,
        }


class Tables:
    """The protocol's verbs on tables, over PyIceberg's catalog."""

    def __init__(self, state: State):
        self.state = state

    def shown(self, table, *, place: bool = True) -> dict:
        answer = {"metadata": json.loads(table.metadata.model_dump_json()), "config": {}}
        if place:
            answer["metadata-location"] = table.metadata_location
        vend = self.state.options.get("vend")
        if vend == "config":
            answer["config"] = self.keys()
        elif vend:
            answer |= self.credentials(table.metadata.location)
        return answer

    def credentials(self, location: str) -> dict:
        wrong = {"prefix": "s3://", "config": self.keys() | {"s3.access-key-id": "not-these"}}
        return {"storage-credentials": [wrong, {"prefix": location, "config": self.keys()}]}

    def keys(self) -> dict:
        key, secret, session, end = self.state.keys.hand_out()
        return {
            "s3.access-key-id": key,
            "s3.secret-access-key": secret,
            "s3.session-token": session,
            "s3.session-token-expires-at-ms": str(int(end * 1000)),
            "s3.endpoint": self.state.gate,
            "s3.region": "us-east-1",
            "s3.path-style-access": "true",
        }

    def create(self, namespace: tuple, body: dict) -> dict:
        state, identifier = self.state, (*namespace, body["name"])
        spec, order = body.get("partition-spec"), body.get("write-order")
        wanted = {
            "schema": Schema.model_validate(body["schema"]),
            "location": body.get("location"),
            "partition_spec": PartitionSpec.model_validate(spec) if spec else UNPARTITIONED_PARTITION_SPEC,
            "sort_order": SortOrder.model_validate(order) if order else UNSORTED_SORT_ORDER,
            "properties": body.get("properties") or {},
        }
        if body.get("stage-create"):
            if state.options.get("staging", 200) != 200:
                raise Refused(state.options["staging"], "this server stages no tables")
            if state.catalog.table_exists(identifier):
                raise TableAlreadyExistsError(body["name"])
            state.seen["staged"] += 1
            return self.shown(state.catalog._create_staged_table(identifier, **wanted), place=False)
        state.seen["made"] += 1
        return self.shown(state.catalog.create_table(identifier, **wanted))

    def fault(self):
        """What is to go wrong with a commit; "drop" comes after it."""
        faults = self.state.faults
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            raise Refused(fault, f"told to answer {fault}")
        if fault == "break":
            raise Dropped
        return fault

    def transaction(self, raw: bytes) -> None:
        """Changes tables that are there: all, or none where a requirement of one does not hold."""
        state, fault = self.state, self.fault()
        changes = []
        for change in json.loads(raw)["table-changes"]:
            request = CommitTableRequest.model_validate(change)
            table = state.catalog.load_table((*request.identifier.namespace.root, request.identifier.name))
            for requirement in request.requirements:
                requirement.validate(table.metadata)
            changes.append((table, request))
        for table, request in changes:
            state.catalog.commit_table(table, tuple(request.requirements), tuple(request.updates))
        state.seen["transactions"] += 1
        if fault == "drop":
            raise Dropped

    def commit(self, identifier: tuple, raw: bytes) -> dict:
        state, fault = self.state, self.fault()
        request = CommitTableRequest.model_validate_json(raw)
        exists = state.catalog.table_exists(identifier)
        if not exists and not state.options.get("commit_creates", True):
            raise NoSuchTableError(f"no table {identifier}")
        if exists:
            table = state.catalog.load_table(identifier)
        else:
            bare = Schema(), UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER
            table = state.catalog._create_staged_table(identifier, bare[0], None, *bare[1:], properties={})
        done = state.catalog.commit_table(table, tuple(request.requirements), tuple(request.updates))
        state.seen["commits"] += 1
        if fault == "drop":
            raise Dropped
        return {"metadata-location": done.metadata_location, "metadata": json.loads(done.metadata.model_dump_json())}


def handler(state: State) -> type[BaseHTTPRequestHandler]:
    tables, catalog = Tables(state), state.catalog

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def handle_request(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            path = [urllib.parse.unquote(part) for part in urllib.parse.urlsplit(self.path).path.strip("/").split("/")]
            try:
                with state.lock:
                    status, answer = self.answer(path[1:], raw)
            except Dropped:
                self.close_connection = True
                return
            except Exception as error:  # whatever PyIceberg thinks of the request is the answer
                status = getattr(error, "status", None) or STATUS.get(type(error), 400)
                told = f"{error} (asked with {self.headers.get('authorization')})"
                answer = {"error": {"message": told, "type": type(error).__name__, "code": status}}
            body = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def answer(self, path: list[str], raw: bytes) -> tuple[int, dict | None]:
            if path == ["oauth", "tokens"]:
                return 200, state.token(dict(urllib.parse.parse_qsl(raw.decode())))
            state.check(self.headers.get("authorization"))
            if path == ["config"]:
                return 200, self.config()
            if path[0] != "lake":
                raise Refused(404, "no such address")
            if path[1:] == ["transactions", "commit"] and state.options.get("transactions"):
                return 204, tables.transaction(raw)
            if path[1] != "namespaces":
                raise Refused(404, "no such address")
            match path[2:]:
                case []:
                    return 200, self.namespaces(raw)
                case [namespace, "tables"]:
                    levels = tuple(namespace.split("\x1f"))
                    if self.command == "POST":
                        return 200, tables.create(levels, json.loads(raw))
                    found = catalog.list_tables(levels)
                    return 200, {"identifiers": [{"namespace": list(levels), "name": name[-1]} for name in found]}
                case [namespace, "tables", name, *rest]:
                    return self.table((*namespace.split("\x1f"), name), rest, raw)
            raise Refused(404, "no such address")

        def config(self) -> dict:
            credentials = "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}/credentials"
            endpoints = [credentials] if state.options.get("vend") == "endpoint" else []
            if state.options.get("transactions"):
                endpoints.append("POST /v1/{prefix}/transactions/commit")
            return {"defaults": {}, "overrides": {"prefix": "lake"}, "endpoints": endpoints}

        def namespaces(self, raw: bytes) -> dict:
            if self.command == "POST":
                levels = tuple(json.loads(raw)["namespace"])
                catalog.create_namespace(levels)
                return {"namespace": list(levels), "properties": {}}
            return {"namespaces": [list(levels) for levels in catalog.list_namespaces()]}

        def table(self, identifier: tuple, rest: list[str], raw: bytes) -> tuple[int, dict | None]:
            if rest == ["credentials"]:
                state.seen["keys_asked"] += 1
                return 200, tables.credentials(catalog.load_table(identifier).metadata.location)
            if self.command == "POST":
                return 200, tables.commit(identifier, raw)
            if self.command == "DELETE":
                state.seen["dropped"] += 1
                catalog.drop_table(identifier)
                return 204, None
            return 200, tables.shown(catalog.load_table(identifier))

        do_GET = do_POST = do_DELETE = do_HEAD = handle_request

    return Server


def serve(server: type[BaseHTTPRequestHandler]) -> str:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), server)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{listening.server_port}"


def main() -> None:
    state = State(json.loads(sys.argv[1]))
    s3 = state.s3
    state.gate = serve(gate.handler(state.keys, s3.endpoint, s3.access_key, s3.secret_key))
    print(serve(handler(state)), flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        with state.lock:
            if told == "report":
                print(json.dumps(state.report()), flush=True)
            else:
                state.faults = told
                print("{}", flush=True)


if __name__ == "__main__":
    main()
