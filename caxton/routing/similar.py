"""Names that somebody may have meant."""

from collections.abc import Iterable


def similar_names(wanted: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """Up to `limit` of `names` that resemble `wanted`, the closest first; also those that contain it or its words."""
    from rapidfuzz import fuzz, process

    candidates = sorted(names)
    words = [word for word in wanted.replace("_", "-").split("-") if len(word) > 3]
    matches = process.extract(wanted, candidates, scorer=fuzz.WRatio, limit=limit, score_cutoff=70)
    found = [name for name, _, _ in matches]
    found += [name for name in candidates if name not in found and any(word in name for word in words)]
    return found[:limit]
