"""Ordinary MCP servers as tools: over HTTP or as child processes, outside of any sandbox.

The official SDK is imported when the first of them is used, and runs on an event loop of its own: what strangers send is read
beside the server's work and not in its way.
"""
