"""The model that turns texts into vectors for Caxton's memory: all-MiniLM-L6-v2 with int8 weights, and its tokenizer.

A package of its own (`caxton[memory]` installs it), since nothing else of Caxton needs these 24 MB. PROVENANCE.md says where
they are from.
"""
