"""Projections: views of the log as documents, which can be dropped and built again with the same result.

A projection is a pure fold: from documents and an event to documents. It knows no clock and no database, so what it shows
depends on the log alone.
"""
