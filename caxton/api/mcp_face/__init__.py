"""The face that MCP clients know: capabilities as tools; agents, conversations and traces as resources.

It speaks JSON-RPC at one address, in two ways: revisions up to 2025-11-25 begin with `initialize`, and 2026-07-28 says all in
each request. No process keeps anything of a client. Only `errors` is loaded with the server; the rest comes with
the first request.
"""
