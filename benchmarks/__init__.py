"""Benchmarks: every speed and size that Caxton promises, measured beside its target."""
