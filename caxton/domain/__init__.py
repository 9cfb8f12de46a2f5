"""The language of Caxton: what things are called, what they consist of and which changes are legal.

Nothing here reads a disk, a network or a clock. Only the standard library, pydantic and pure value libraries.
"""
