"""Metrics, traces and logs for operators. None of them has prompts, replies or secrets."""
