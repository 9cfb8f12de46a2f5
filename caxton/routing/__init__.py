"""Routing: which agent does what is asked for. Pure: no I/O, no clock, no randomness of its own."""
