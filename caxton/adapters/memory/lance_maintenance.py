"""Maintenance of one table of the LanceDB back end, as a process of its own (`python -m …lance_maintenance`).

A process of its own because building an index takes both cores for seconds and several times the memory of the vectors: it runs
at a low priority, and the server stays as small and as fast as it was. It needs no lock: LanceDB's commits are optimistic, and
what met a write is done again with the next maintenance.

The vector index is one partition of vectors of 5 bits a dimension (RaBitQ), all of which a search compares. A graph of
neighbours (HNSW) of 8 bits takes twice the memory and ten times as long to build; an index of many partitions, of which a
search looks into some, misses what is near.
"""

import argparse
import os
import sys
from datetime import timedelta
from importlib import import_module
from typing import Any

ROWS_BEFORE_INDEXING = 1_000
"""Rows outside of the indices from which they are worth indexing …"""

SHARE_BEFORE_INDEXING = 0.05
"""… or so many of all, if that is more: what is outside is searched one by one."""

MOST_SEGMENTS = 4
"""Segments of an index, each searched by itself, before the small ones are merged."""

SHARE_BEFORE_REBUILDING = 0.5
"""Rows in small segments, of those in the large one, from which all become one. So a row is indexed a few times at most."""


def maintain(path: str, column: str | None, index_from: int, old_versions: timedelta) -> None:
    """Compacts a table, brings its indices up to date when that is worth it, and removes files that nobody reads.

    Args:
        path: folder of the table.
        column: vectors to index; None where there are none.
        index_from: rows with vectors from which there is a vector index.
        old_versions: how long replaced files are kept for readers that are in progress.
    """
    lance: Any = import_module("lance")
    dataset = lance.dataset(path)
    deleted = any(fragment.num_deletions for fragment in dataset.get_fragments())
    # LanceDB's own threshold leaves deleted content in the files until a tenth of a file is deleted.
    dataset.optimize.compact_files(materialize_deletions=deleted, materialize_deletions_threshold=0.0)
    present = {description.field_names[0]: description for description in dataset.describe_indices()}
    names = {indexed: description.name for indexed, description in present.items()}
    if column is not None and dataset.count_rows(f"{column} IS NOT NULL") >= index_from:
        kind = _vector_index(dataset, column)
        if column not in present or present[column].index_type != kind:
            dataset.create_index(column, kind, name=f"{column}_idx", metric="cosine", num_partitions=1, replace=True)
    rows = dataset.count_rows()
    outside = max((dataset.stats.index_stats(name)["num_unindexed_rows"] for name in names.values()), default=0)
    if outside >= max(ROWS_BEFORE_INDEXING, SHARE_BEFORE_INDEXING * rows):
        for indexed, name in names.items():
            merged = _segments_to_merge(dataset, name) if indexed == column else 1
            dataset.optimize.optimize_indices(num_indices_to_merge=merged, index_names=[name])
        dataset.optimize.compact_files()
    dataset.cleanup_old_versions(older_than=old_versions)


def _vector_index(dataset: Any, column: str) -> str:
    """RaBitQ takes no other widths than multiples of 8; vectors of 8 bits serve for those."""
    return "IVF_RQ" if dataset.schema.field(column).type.list_size % 8 == 0 else "IVF_SQ"


def _segments_to_merge(dataset: Any, name: str) -> int:
    """How many of the latest segments of the vector index become one, with what is outside of it."""
    rows = {fragment.fragment_id: fragment.count_rows() for fragment in dataset.get_fragments()}
    [index] = [each for each in dataset.describe_indices() if each.name == name]
    sizes = [sum(rows.get(fragment, 0) for fragment in segment.fragment_ids) for segment in index.segments]
    if sum(sizes) - max(sizes, default=0) > SHARE_BEFORE_REBUILDING * max(sizes, default=0):
        return len(sizes)
    return len(sizes) - 1 if len(sizes) > MOST_SEGMENTS else 0


def main() -> None:
    """Maintains one table, at a low priority."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--column")
    parser.add_argument("--index-from", type=int, required=True)
    parser.add_argument("--old-versions", type=float, required=True, help="Seconds.")
    given = parser.parse_args()
    os.nice(10)
    maintain(given.path, given.column, given.index_from, timedelta(seconds=given.old_versions))


if __name__ == "__main__":
    sys.exit(main())
