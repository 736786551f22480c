"""A TCP fault proxy in one process, driven over HTTP as Toxiproxy is: `python -m harness.faultproxy -port 8474`.

Existing Toxiproxy clients work against it unchanged. It is a program of its own and imports nothing else of
`harness`; where it differs from Toxiproxy 2.12 on purpose, docs/faultproxy.md says how and why.

    client ── Endpoint ──► Link "upstream"   (stages of toxics) ──► Endpoint ── server
           ── Endpoint ◄── Link "downstream" (stages of toxics) ◄── Endpoint ──
             └────────────────────── Connection ─────────────────────┘   many per Proxy, all in one Registry
"""
