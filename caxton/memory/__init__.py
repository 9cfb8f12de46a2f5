"""Memory: its use in turns, and operations on many entities."""
