"""Prometheus' metrics as OpenTelemetry's. Loaded only when they are sent.

The mapping is that of https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/.
"""

import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

_STARTED_NS = time.time_ns()
"""Since when counters count."""

_NOT_KNOWN = cast("float", None)
"""Prometheus keeps neither the least nor the greatest value; OTLP may leave them out."""

_UNITS = {"seconds": "s", "bytes": "By"}


def to_otlp(registry: CollectorRegistry, resource: Resource) -> MetricsData:
    """All metrics of `registry` as they are now."""
    now = time.time_ns()
    metrics = [_metric(family, now) for family in registry.collect()]
    scope = ScopeMetrics(InstrumentationScope("caxton"), [metric for metric in metrics if metric], "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(family: Family, now: int) -> Metric | None:
    data: Sum | Gauge | Histogram
    samples = family.samples
    if family.type == "counter":
        points = _numbers((sample for sample in samples if sample.name.endswith("_total")), now, since=_STARTED_NS)
        data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    elif family.type in ("gauge", "info", "unknown"):
        data = Gauge(_numbers(samples, now, since=None))
    elif family.type == "histogram":
        data = Histogram(list(_histograms(samples, now)), AggregationTemporality.CUMULATIVE)
    else:
        return None
    unit = _UNITS.get(family.name.removesuffix("_total").rpartition("_")[2], "")
    return Metric(name=family.name, description=family.documentation, unit=unit, data=data)


def _numbers(samples: Iterable[Sample], now: int, *, since: int | None) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(sample.labels), since or 0, now, sample.value) for sample in samples]


def _histograms(samples: Iterable[Sample], now: int) -> Iterator[HistogramDataPoint]:
    """One point for each set of labels: Prometheus counts up to each bound, OpenTelemetry between two."""
    parts: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        part = parts.setdefault(labels, {"up_to": {}, "sum": 0.0})
        if sample.name.endswith("_bucket"):
            part["up_to"][float(sample.labels["le"])] = int(sample.value)
        elif sample.name.endswith("_sum"):
            part["sum"] = sample.value
    for labels, part in parts.items():
        up_to = sorted(cast("dict[float, int]", part["up_to"]).items())
        counts = [count for _, count in up_to]
        yield HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=_STARTED_NS,
            time_unix_nano=now,
            count=counts[-1] if counts else 0,
            sum=part["sum"],
            bucket_counts=[counts[0], *(above - below for below, above in pairwise(counts))] if counts else [],
            explicit_bounds=[bound for bound, _ in up_to[:-1]],
            min=_NOT_KNOWN,
            max=_NOT_KNOWN,
        )
