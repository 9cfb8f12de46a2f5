"""Metrics for an OpenTelemetry collector."""

import threading

import pytest

from caxton.observability.metrics import METRICS
from caxton.observability.metrics_export import setup_metrics_export
from tests.support.collector import attributes_of, running_collector
from tests.support.waiting import until


@pytest.mark.requirement("ADM-1")
def test_metrics_are_sent_to_a_collector() -> None:
    with running_collector() as collector:
        stop = setup_metrics_export(collector.url, "caxton-test", "1.2.3")
        METRICS.routed("test-export")
        METRICS.execution("test-export", "completed", 0.015)
        METRICS.execution("test-export", "completed", 2.0)
        METRICS.component_health("test-export", ok=True)
        stop()
    counters = collector.metrics["caxton_routing_decisions"].sum
    assert counters.is_monotonic
    [point] = [each for each in counters.data_points if attributes_of(each) == {"strategy": "test-export"}]
    assert point.as_double == 1
    assert 0 < point.start_time_unix_nano < point.time_unix_nano
    assert collector.metrics["caxton_execution_seconds"].unit == "s"
    [spread] = [
        each
        for each in collector.metrics["caxton_execution_seconds"].histogram.data_points
        if attributes_of(each) == {"agent": "test-export"}
    ]
    assert spread.count == 2
    assert spread.sum == pytest.approx(2.015)
    assert sum(spread.bucket_counts) == 2
    assert spread.bucket_counts[list(spread.explicit_bounds).index(0.02)] == 1
    assert spread.bucket_counts[list(spread.explicit_bounds).index(2.5)] == 1
    assert len(spread.bucket_counts) == len(spread.explicit_bounds) + 1
    assert not spread.HasField("min")
    [health] = [
        each
        for each in collector.metrics["caxton_component_healthy"].gauge.data_points
        if attributes_of(each) == {"component": "test-export"}
    ]
    assert health.as_double == 1
    assert collector.resources[0]["service.name"] == "caxton-test"


def test_metrics_are_sent_again_and_again() -> None:
    with running_collector() as collector:
        stop = setup_metrics_export(collector.url, interval=0.02)
        try:
            until(lambda: len(collector.bodies) >= 3)
        finally:
            stop()


def test_nothing_is_sent_without_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    threads = set(threading.enumerate())
    stop = setup_metrics_export(interval=0.02)
    assert set(threading.enumerate()) == threads, "nothing that would send"
    stop()
