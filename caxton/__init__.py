"""Caxton: an agent server whose agents are durable workflows."""

__version__ = "0.1.0"
