"""An S3 endpoint before the real one, whose keys end: it checks key, session, time and signature, and signs anew.

Knows S3's requests only as far as their signature. Does not know what is in the files.
"""

import http.client
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from signature import signature


@dataclass
class Keys:
    """The keys that were handed out, each with a session and an end."""

    lifetime: float
    given: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hand_out(self) -> tuple[str, str, str, float]:
        with self.lock:
            number = len(self.given) + 1
            key, secret, session = f"vended-{number}", f"vended-secret-{number}", f"vended-session-{number}"
            end = time.time() + self.lifetime
            self.given[key] = (secret, session, end)
            return key, secret, session, end

    def refusal(self, method: str, path: str, query: str, headers: dict[str, str]) -> str | None:
        """Why a request is not let through, in S3's word for it."""
        parts = dict(part.strip().split("=", 1) for part in headers.get("authorization", "").partition(" ")[2].split(",") if part)
        key, _, scope = parts.get("Credential", "").partition("/")
        if key not in self.given:
            return "InvalidAccessKeyId"
        secret, session, end = self.given[key]
        if headers.get("x-amz-security-token") != session:
            return "InvalidToken"
        if time.time() >= end:
            return "ExpiredToken"
        right = signature(secret, scope, method, path, query, headers, parts["SignedHeaders"])
        if right != parts["Signature"]:
            return "SignatureDoesNotMatch"
        with self.lock:
            self.used.add(key)
        return None


def handler(keys: Keys, endpoint: str, key: str, secret: str) -> type[BaseHTTPRequestHandler]:
    """Passes what is let through to `endpoint`, in the name of its own key."""
    real = urllib.parse.urlsplit(endpoint)

    class Gate(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            path, _, query = self.path.partition("?")
            refusal = keys.refusal(self.command, path, query, headers)
            if refusal:
                keys.refused += 1
                text = f"<Error><Code>{refusal}</Code><Message>{refusal}</Message></Error>"
                self.reply(403, {"content-type": "application/xml"}, text.encode())
                return
            for hop in ("authorization", "x-amz-security-token", "connection", "content-length", "transfer-encoding"):
                headers.pop(hop, None)
            headers["host"] = real.netloc
            signed = ";".join(sorted(name for name in headers if name == "host" or name.startswith("x-amz-")))
            scope = f"{headers['x-amz-date'][:8]}/us-east-1/s3/aws4_request"
            right = signature(secret, scope, self.command, path, query, headers, signed)
            headers["authorization"] = (
                f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, Signature={right}"
            )
            connection = http.client.HTTPConnection(real.netloc, timeout=60)
            headers["content-length"] = str(len(body))
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self.reply(answer.status, dict(answer.getheaders()), answer.read())
            connection.close()

        def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            length = str(len(body))
            for name, value in headers.items():
                if name.lower() in ("connection", "transfer-encoding", "keep-alive"):
                    continue
                if name.lower() == "content-length":
                    length = value if self.command == "HEAD" else length
                    continue
                self.send_header(name, value)
            self.send_header("content-length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

    return Gate
