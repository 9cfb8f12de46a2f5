"""Writes docs/reference/metrics.md from the catalogue: `python -m caxton.observability.reference`."""

from pathlib import Path

from caxton.observability.catalogue import CATALOGUE, MetricInfo
from caxton.observability.metrics import MOST_VALUES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"

INTRODUCTION = f"""\
# Metrics

<!-- Made by `python -m caxton.observability.reference`; do not edit. -->

`caxton serve` has its metrics at `http://127.0.0.1:9090/metrics` (`CAXTON_METRICS_PORT`, 0 for none) for Prometheus, which
sends no key, and at `/metrics` of the API, which wants one. OpenMetrics is served to those who ask for it in `Accept`. With
`telemetry.otlp_endpoint` (or `OTEL_EXPORTER_OTLP_ENDPOINT`) they are also sent to an OpenTelemetry collector, once a minute.

Labels never name customers, workspaces, conversations or anything that a user wrote. A label has {MOST_VALUES} values at the
most; whatever comes later counts as `other`, and what has no name as `unknown`.

Besides these there are the usual `process_…` and `python_…` metrics.

```yaml
# prometheus.yml
scrape_configs:
  - job_name: caxton
    static_configs:
      - targets: ["127.0.0.1:9090"]
```
"""

QUERIES = {
    "messages a second": "rate(caxton_messages_accepted_total[1m])",
    "share of executions that fail": 'sum(rate(caxton_executions_total{state="failed"}[5m]))'
    " / sum(rate(caxton_executions_total[5m]))",
    "p99 of a message over HTTP, in seconds": "histogram_quantile(0.99,"
    ' sum by (le) (rate(caxton_http_request_seconds_bucket{route="/v1/messages"}[5m])))',
    "p95 of each tool, in seconds": "histogram_quantile(0.95,"
    " sum by (le, tool) (rate(caxton_tool_call_seconds_bucket[5m])))",
    "dollars an hour by model": "sum by (model) (rate(caxton_model_cost_usd_total[1h])) * 3600",
    "tools that hit a limit": "sum by (tool, outcome)"
    ' (increase(caxton_tool_calls_total{outcome!="ok",outcome!="tool_error"}[1h]))',
}
"""Questions that operators ask, in PromQL."""


def render() -> str:
    """The page."""
    rows = "\n".join(_row(info) for info in CATALOGUE)
    table = f"## All metrics\n\n| name | kind | labels | meaning |\n|---|---|---|---|\n{rows}\n"
    buckets = "\n".join(f"- `{info.name}`: {_bounds(info)}" for info in CATALOGUE if info.buckets)
    asked = "\n".join(f"| {question} | `{query}` |" for question, query in QUERIES.items())
    queries = f"## Questions to ask\n\n| question | query |\n|---|---|\n{asked}\n"
    return f"{INTRODUCTION}\n{table}\n## Buckets of the histograms\n\n{buckets}\n\n{queries}"


def main() -> None:
    """Writes the page."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")


def _row(info: MetricInfo) -> str:
    labels = ", ".join(f"`{label}`" for label in info.labels)
    return f"| `{info.name}` | {info.kind} | {labels} | {info.help} |"


def _bounds(info: MetricInfo) -> str:
    if info.name.endswith("_bytes"):
        return ", ".join(f"{int(bound) >> 20}" for bound in info.buckets) + " MB"
    return ", ".join(f"{bound:g}" for bound in info.buckets) + " s"


if __name__ == "__main__":
    main()
