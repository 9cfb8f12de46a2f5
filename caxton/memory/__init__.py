"""What agents remember: how turns use it, and work on many entities."""
