"""The face that clients of the A2A protocol know: agent cards, messages, tasks. Version 1.0, and 0.3 for clients that speak it.

Only `errors` is loaded with the server; the rest comes with the first request that wants it.
"""
