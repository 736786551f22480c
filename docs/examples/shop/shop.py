"""A service that reads through a cache in Redis, and goes on without: `python shop.py PORT REDIS_PORT REPLICA`."""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PORT, REDIS_PORT, REPLICA = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
CACHE = redis.Redis(port=REDIS_PORT, socket_timeout=0.05, socket_connect_timeout=0.05, retry=Retry(NoBackoff(), 0))
SPARED_FOR_S = 0.5
"""After a failure the cache is left alone for so long: a request that waits for it is a slow one."""


class Shop(BaseHTTPRequestHandler):
    """`GET /things/NUMBER`, `POST /orders`, `GET /health`."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: two would wait for each other
    spared_until_s = 0.0

    def do_GET(self) -> None:
        """Answer from the cache, else from where it was made."""
        if self.path == "/health":
            self.answer(200, {"is": "well"}, level="none")
            return
        kept = self.cached("get", self.path)
        if kept is None:
            self.cached("set", self.path, b"1", 60)
        self.answer(200, {"thing": self.path}, level="hit" if kept else "miss")

    def do_POST(self) -> None:
        """Take an order."""
        order = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.answer(201, {"taken": order["id"]}, level="none")

    def cached(self, verb: str, *told: object) -> object:
        """Ask the cache, unless it failed a moment ago."""
        if time.monotonic() < Shop.spared_until_s:
            return None
        try:
            return getattr(CACHE, verb)(*told)
        except redis.RedisError:
            Shop.spared_until_s = time.monotonic() + SPARED_FOR_S
            return None

    def answer(self, status: int, said: object, *, level: str) -> None:
        """Say it, and where it comes from."""
        body = json.dumps(said).encode()
        self.send_response(status)
        for name, value in {"content-length": len(body), "cache-level": level, "served-by": REPLICA}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), Shop).serve_forever()
