"""What Toxiproxy 2.12.0 answers, as tables: one exchange a row, held by suites/contract/test_faultproxy_api.py."""

from __future__ import annotations

import json

A = {"name": "a", "upstream": "127.0.0.1:1", "listen": "127.0.0.1:0"}
OFF = {**A, "enabled": False, "listen": "localhost:0"}
OFF_SHOWN = '{"name":"a","listen":"localhost:0","upstream":"127.0.0.1:1","enabled":false,"Logger":{},"toxics":%s}'
NOOP = '{"attributes":{},"name":"%s","type":"noop","stream":"%s","toxicity":%s}'
LATENCY = '{"attributes":{"latency":%d,"jitter":%d},"name":"latency_%s","type":"latency","stream":"%s","toxicity":1}'
HTML_SHOWN = '{"name":"\\u003cé\\u0026\\u2028\ufffd\\u003e","listen":"","upstream":"x:1","enabled":false,"Logger":{},"toxics":[]}'
MEBIBYTE = 2**20


def error(message: str, status: int) -> str:
    """Return the body of a refusal."""
    return json.dumps({"error": message, "status": status}, separators=(",", ":")) + "\n"


def go_field(kind: str, field: str, wanted: str) -> str:
    """Return the body of the refusal of a value that is of the wrong type."""
    return error(f"bad request body: json: cannot unmarshal {kind} into Go struct field {field} of type {wanted}", 400)


# (method, path, body, status, text of the answer); each asked of a server with the one proxy OFF on it.
EXCHANGES = {
    "version": ("GET", "/version", None, 200, '{"version": "2.12.0"}\n'),
    "version with a query": ("GET", "/version?x=1", None, 200, '{"version": "2.12.0"}\n'),
    "list": ("GET", "/proxies", None, 200, '{"a":%s}' % (OFF_SHOWN % "[]")),
    "show": ("GET", "/proxies/a", None, 200, OFF_SHOWN % "[]"),
    "show by an encoded name": ("GET", "/proxies/%61", None, 200, OFF_SHOWN % "[]"),
    "show a stranger": ("GET", "/proxies/b", None, 404, error("proxy not found", 404)),
    "list toxics": ("GET", "/proxies/a/toxics", None, 200, "[]"),
    "show a toxic that is not there": ("GET", "/proxies/a/toxics/t", None, 404, error("toxic not found", 404)),
    "delete a toxic that is not there": ("DELETE", "/proxies/a/toxics/t", None, 404, error("toxic not found", 404)),
    "delete a toxic of a stranger": ("DELETE", "/proxies/b/toxics/t", None, 404, error("proxy not found", 404)),
    "delete": ("DELETE", "/proxies/a", None, 204, ""),
    "delete a stranger": ("DELETE", "/proxies/b", None, 404, error("proxy not found", 404)),
    "reset": ("POST", "/reset", b"anything", 204, ""),
    "unknown path": ("GET", "/nowhere", None, 404, "404 page not found\n"),
    "root": ("GET", "/", None, 404, "404 page not found\n"),
    "trailing slash": ("GET", "/proxies/", None, 404, "404 page not found\n"),
    "trailing slash after a name": ("GET", "/proxies/a/", None, 404, "404 page not found\n"),
    "one segment too many": ("GET", "/proxies/a/toxics/t/x", None, 404, "404 page not found\n"),
    "no metrics unless asked for": ("GET", "/metrics", None, 404, "404 page not found\n"),
    "wrong method": ("PUT", "/proxies", None, 405, ""),
    "options": ("OPTIONS", "/proxies/a", None, 405, ""),
    "head": ("HEAD", "/proxies", None, 405, ""),
    "reset by get": ("GET", "/reset", None, 405, ""),
    "doubled slash": ("GET", "//proxies", None, 301, ""),
    "create without a body": ("POST", "/proxies", None, 400, error("bad request body: EOF", 400)),
    "create from blanks": ("POST", "/proxies", b" \n ", 400, error("bad request body: EOF", 400)),
    "create from half an object": (
        "POST",
        "/proxies",
        b'{"name":"b",',
        400,
        error("bad request body: unexpected EOF", 400),
    ),
    "create from garbage": (
        "POST",
        "/proxies",
        b"xyz",
        400,
        error("bad request body: invalid character 'x' looking for beginning of value", 400),
    ),
    "create from NaN": (
        "POST",
        "/proxies",
        b'{"name":NaN}',
        400,
        error("bad request body: invalid character 'N' looking for beginning of value", 400),
    ),
    "create from a list": (
        "POST",
        "/proxies",
        b"[1]",
        400,
        error("bad request body: json: cannot unmarshal array into Go value of type toxiproxy.Proxy", 400),
    ),
    "create nested too deep": (
        "POST",
        "/proxies",
        b"[" * 20000,
        400,
        error("bad request body: invalid character '[' exceeded max depth", 400),
    ),
    "create from null": ("POST", "/proxies", b"null", 400, error("missing required field: name", 400)),
    "create without a name": ("POST", "/proxies", {"upstream": "x"}, 400, error("missing required field: name", 400)),
    "create without an upstream": (
        "POST",
        "/proxies",
        {"name": "b"},
        400,
        error("missing required field: upstream", 400),
    ),
    "create with a number for a name": (
        "POST",
        "/proxies",
        {"name": 5},
        400,
        go_field("number", "Proxy.name", "string"),
    ),
    "create with a text for a flag": (
        "POST",
        "/proxies",
        {"name": "b", "upstream": "x", "enabled": "yes"},
        400,
        go_field("string", "Proxy.enabled", "bool"),
    ),
    "create twice": ("POST", "/proxies", A, 409, error("proxy already exists", 409)),
    "create without a port": (
        "POST",
        "/proxies",
        {**A, "name": "b", "listen": "foo"},
        500,
        error("listen tcp: address foo: missing port in address", 500),
    ),
    "create on an impossible port": (
        "POST",
        "/proxies",
        {**A, "name": "b", "listen": "127.0.0.1:99999"},
        500,
        error("listen tcp: address 99999: invalid port", 500),
    ),
    "create on too many colons": (
        "POST",
        "/proxies",
        {**A, "name": "b", "listen": "a:b:c"},
        500,
        error("listen tcp: address a:b:c: too many colons in address", 500),
    ),
    "create on half an IPv6 address": (
        "POST",
        "/proxies",
        {**A, "name": "b", "listen": "[::1"},
        500,
        error("listen tcp: address [::1: missing ']' in address", 500),
    ),
    "create on an address with a zero too many": (
        "POST",
        "/proxies",
        {**A, "name": "b", "listen": "0127.0.0.1:0"},
        500,
        error("listen tcp: lookup 0127.0.0.1: no such host", 500),
    ),
    "create on a port that is no number": (
        "POST",
        "/proxies",
        {**A, "name": "b", "listen": "127.0.0.1:+x"},
        500,
        error("listen tcp: lookup tcp/+x: unknown port", 500),
    ),
    "create on a foreign address": (
        "POST",
        "/proxies",
        {**A, "name": "b", "listen": "1.2.3.4:0"},
        500,
        error("listen tcp 1.2.3.4:0: bind: cannot assign requested address", 500),
    ),
    "create disabled, in odd capitals, with text behind": (
        "POST",
        "/proxies",
        b'{"NAME":"b","Upstream":"x:1","enabled":false,"unknown":[{}],"listen":null} trailing',
        201,
        '{"name":"b","listen":"","upstream":"x:1","enabled":false,"Logger":{},"toxics":[]}',
    ),
    "create with what HTML cares about": (
        "POST",
        "/proxies",
        b'{"name":"<\xc3\xa9&\\u2028\\ud800>","upstream":"x:1","enabled":false}',
        201,
        HTML_SHOWN,
    ),
    "update nothing": ("POST", "/proxies/a", {}, 200, OFF_SHOWN % "[]"),
    "update does not rename": ("PATCH", "/proxies/a", {"name": "b", "enabled": None}, 200, OFF_SHOWN % "[]"),
    "update without a body": ("PATCH", "/proxies/a", None, 400, error("bad request body: EOF", 400)),
    "update a stranger comes before its body": ("PATCH", "/proxies/b", None, 404, error("proxy not found", 404)),
    "update with a number": ("POST", "/proxies/a", {"listen": 5}, 400, go_field("number", "Proxy.listen", "string")),
    "update to no port": (
        "PATCH",
        "/proxies/a",
        {"listen": "bad"},
        500,
        error("address bad: missing port in address", 500),
    ),
    "toxic with defaults": (
        "POST",
        "/proxies/a/toxics",
        {"type": "latency"},
        200,
        LATENCY % (0, 0, "downstream", "downstream"),
    ),
    "toxic in odd capitals": (
        "POST",
        "/proxies/a/toxics",
        {"TYPE": "latency", "stream": "UPSTREAM", "ATTRIBUTES": {"LATENCY": 5, "unknown": 1}},
        200,
        LATENCY % (5, 0, "UPSTREAM", "UPSTREAM"),
    ),
    "toxicity as a float32": (
        "POST",
        "/proxies/a/toxics",
        {"type": "noop", "name": "n", "toxicity": 0.333333333333},
        200,
        NOOP % ("n", "downstream", "0.33333334"),
    ),
    "toxic on a stranger comes before its body": (
        "POST",
        "/proxies/b/toxics",
        b"x",
        404,
        error("proxy not found", 404),
    ),
    "toxic without a body": ("POST", "/proxies/a/toxics", None, 400, error("bad request body: EOF", 400)),
    "toxic of an unknown type": (
        "POST",
        "/proxies/a/toxics",
        {"type": "down"},
        400,
        error("invalid toxic type", 400),
    ),
    "toxic type is in lower case": (
        "POST",
        "/proxies/a/toxics",
        {"type": "LATENCY"},
        400,
        error("invalid toxic type", 400),
    ),
    "toxic stream comes before type": (
        "POST",
        "/proxies/a/toxics",
        {"type": "nope", "stream": "x"},
        400,
        error("stream was invalid, can be either upstream or downstream", 400),
    ),
    "toxic without a stream's name": (
        "POST",
        "/proxies/a/toxics",
        {"type": "noop", "stream": ""},
        400,
        error("stream was invalid, can be either upstream or downstream", 400),
    ),
    "toxic with a float": (
        "POST",
        "/proxies/a/toxics",
        b'{"type":"latency","attributes":{"latency":1.5}}',
        400,
        go_field("number 1.5", "LatencyToxic.attributes.latency", "int64"),
    ),
    "toxic with a whole float": (
        "POST",
        "/proxies/a/toxics",
        b'{"type":"latency","attributes":{"latency":100.0}}',
        400,
        go_field("number 100.0", "LatencyToxic.attributes.latency", "int64"),
    ),
    "toxic with a text": (
        "POST",
        "/proxies/a/toxics",
        {"type": "latency", "attributes": {"latency": "1"}},
        400,
        go_field("string", "LatencyToxic.attributes.latency", "int64"),
    ),
    "toxic with a flag": (
        "POST",
        "/proxies/a/toxics",
        {"type": "latency", "attributes": {"latency": True}},
        400,
        go_field("bool", "LatencyToxic.attributes.latency", "int64"),
    ),
    "toxic beyond int64": (
        "POST",
        "/proxies/a/toxics",
        {"type": "latency", "attributes": {"latency": 2**64}},
        400,
        go_field(f"number {2**64}", "LatencyToxic.attributes.latency", "int64"),
    ),
    "toxic with a list of attributes": (
        "POST",
        "/proxies/a/toxics",
        {"type": "latency", "attributes": []},
        400,
        go_field("array", "ToxicWrapper.attributes", "toxics.NoopToxic"),
    ),
    "toxic with a text for toxicity": (
        "POST",
        "/proxies/a/toxics",
        {"type": "latency", "toxicity": "1"},
        400,
        go_field("string", "ToxicWrapper.toxicity", "float32"),
    ),
    "populate nothing": ("POST", "/populate", [], 201, '{"proxies":null}'),
    "populate null": ("POST", "/populate", b"null", 201, '{"proxies":null}'),
    "populate without a body": (
        "POST",
        "/populate",
        None,
        400,
        '{"error":"bad request body: EOF","status":400,"proxies":null}',
    ),
    "populate counts from one": (
        "POST",
        "/populate",
        [{"name": "z", "upstream": "y:1"}, {"name": "q"}],
        400,
        '{"error":"missing required field: upstream at proxy 2","status":400,"proxies":null}',
    ),
    "populate null proxies": (
        "POST",
        "/populate",
        [None],
        400,
        '{"error":"missing required field: name at proxy 1","status":400,"proxies":null}',
    ),
}

# Requests that only programs of one's own send: (bytes, our status, the original's).
UNUSUAL = {
    "an absolute target": (b"GET http://x/version HTTP/1.1\r\nHost: x\r\n\r\n", 200, 200),
    "HTTP/1.0": (b"GET /version HTTP/1.0\r\n\r\n", 200, 200),
    "trailers": (
        b"POST /populate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\nA: b\r\n\r\n",
        201,
        201,
    ),
    "two lengths": (
        b"POST /populate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
        400,
        400,
    ),
    "a length twice": (
        b"POST /populate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n[]",
        400,
        201,
    ),
    "a length beside chunks": (
        b"POST /populate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        400,
    ),
    "a folded header": (b"GET /version HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", 400, 200),
    "lines without CR": (b"GET /version HTTP/1.1\nHost: x\n\n", 400, 200),
    "a method that nobody knows": (b"FOO /version HTTP/1.1\r\nHost: x\r\n\r\n", 400, 405),
    "HTTP/1.2": (b"GET /version HTTP/1.2\r\nHost: x\r\n\r\n", 400, 200),
    "no host": (b"GET /version HTTP/1.1\r\n\r\n", 200, 400),
    "two hosts": (b"GET /version HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 200, 400),
    "an expectation that nobody knows": (
        b"POST /populate HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n[]",
        201,
        417,
    ),
}

# Command lines that end with exit code 2.
REFUSED_FLAGS = [
    ["-seed", "08"],
    ["-seed=0x10000000000000000"],
    ["-nobody"],
    ["-host"],
    ["-=x"],
    ["---seed", "1"],
    ["-version=maybe"],
]

# What we do otherwise on purpose: (body of a new toxic, our status, strict mode's, the original's, why).
DEVIATIONS = {
    "toxicity above 1": ({"type": "noop", "toxicity": 2.5}, 400, 200, 200, "a percentage must not pass for always"),
    "toxicity below 0": ({"type": "noop", "toxicity": -1}, 400, 200, 200, "it would mean never, silently"),
    "slash in a toxic's name": ({"type": "noop", "name": "a/b"}, 400, 200, 200, "no URL reaches it"),
    "far too long a name": ({"type": "noop", "name": "n" * 1025}, 400, 200, 200, "no URL should have to reach it"),
    "latency of days": ({"type": "latency", "attributes": {"latency": 10**9}}, 400, 200, 200, "a mistaken unit"),
    "jitter of days": ({"type": "latency", "attributes": {"jitter": 10**9}}, 400, 200, 200, "a mistaken unit"),
    "timeout of days": ({"type": "timeout", "attributes": {"timeout": 10**9}}, 400, 200, 200, "a mistaken unit"),
    "reset after days": ({"type": "reset_peer", "attributes": {"timeout": 10**9}}, 400, 200, 200, "a mistaken unit"),
    "close after days": ({"type": "slow_close", "attributes": {"delay": 10**9}}, 400, 200, 200, "a mistaken unit"),
    "pauses of days": (
        {"type": "slicer", "attributes": {"average_size": 1, "delay": 10**12}},
        400,
        200,
        200,
        "a mistaken unit",
    ),
    "negative rate": ({"type": "bandwidth", "attributes": {"rate": -1}}, 400, 400, 200, "the original dies of data"),
    "slicer without a size": ({"type": "slicer"}, 400, 400, 200, "the original dies of data"),
    "slicer that varies too much": (
        {"type": "slicer", "attributes": {"average_size": 2, "size_variation": 3}},
        400,
        400,
        200,
        "the original duplicates bytes",
    ),
    "negative jitter": ({"type": "latency", "attributes": {"jitter": -1}}, 400, 400, 200, "the original panics"),
    "jitter overflow": ({"type": "latency", "attributes": {"jitter": 2**62}}, 400, 400, 200, "the original panics"),
}
