"""AWS signature version 4 over one request: the same sum checks what a client sent and signs what is passed on."""

import hashlib
import hmac
import urllib.parse


def signature(secret: str, scope: str, method: str, path: str, query: str, headers: dict[str, str], signed: str) -> str:
    """`scope` is DATE/REGION/s3/aws4_request, `signed` the signed headers' names, `headers` all of them by lower name."""
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    quote = lambda text: urllib.parse.quote(text, safe="-_.~")
    canonical = "\n".join([
        method,
        path,
        "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs),
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed.split(";")),
        "",
        signed,
        headers["x-amz-content-sha256"],
    ])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
