"""`caxton serve`, `caxton api`, `caxton worker`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import current
from caxton.cli.output import is_terminal
from caxton.domain.extras import require

if TYPE_CHECKING:
    from caxton.runtime.reporter import Reporter
    from caxton.runtime.settings_sources import LoadedSettings

app = new_app()
app_api = new_app()
app_worker = new_app()

DataDir = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder for all data.")]
Host = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address that the API listens on.")]
Port = Annotated[int | None, typer.Option(help="Port of the API; 0 takes a free one.")]
MetricsPort = Annotated[int | None, typer.Option(metavar="PORT", help="Port of the Prometheus metrics; 0 for none.")]
LogLevel = Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")]
LogFormat = Annotated[str | None, typer.Option(metavar="FORMAT", help="auto, json or text.")]
Address = Annotated[
    str | None, typer.Option("--temporal-address", metavar="HOST:PORT", help="Temporal service to use.")
]
Namespace = Annotated[str | None, typer.Option("--namespace", metavar="NAME", help="Temporal namespace.")]
Tls = Annotated[bool | None, typer.Option("--tls/--no-tls", help="Encrypt the connection to Temporal.")]
TlsCa = Annotated[Path | None, typer.Option("--tls-ca", metavar="FILE", help="Certificates of authorities to trust.")]
TlsCert = Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="Client certificate (mTLS).")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Key of the client certificate.")]


@app.command()
def serve(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    metrics_port: MetricsPort = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    temporal_address: Address = None,
    namespace: Namespace = None,
    tls: Tls = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Run everything here: API, worker and workflow engine.

    Ctrl-C stops it; running conversations continue with the next start.
    """
    require("server")
    from caxton.runtime.server import run_serve

    flags = _temporal(temporal_address, namespace, tls, tls_ca, tls_cert, tls_key)
    loaded = current().settings(
        data_dir=data_dir,
        host=host,
        port=port,
        metrics_port=metrics_port,
        log__level=log_level,
        log__format=log_format,
        **flags,
    )
    _configure_logging(loaded)
    run_serve(loaded.settings, _reporter())


@app_api.command()
def api(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    metrics_port: MetricsPort = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    temporal_address: Address = None,
    namespace: Namespace = None,
    tls: Tls = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Run the API alone, against a Temporal service. Workers run elsewhere, with the same store."""
    require("server")
    from caxton.runtime.server import run_api

    flags = _temporal(temporal_address, namespace, tls, tls_ca, tls_cert, tls_key)
    loaded = current().settings(
        data_dir=data_dir,
        host=host,
        port=port,
        metrics_port=metrics_port,
        log__level=log_level,
        log__format=log_format,
        **flags,
    )
    _configure_logging(loaded)
    run_api(loaded.settings, _reporter())


@app_worker.command()
def worker(
    data_dir: DataDir = None,
    metrics_port: MetricsPort = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    temporal_address: Address = None,
    namespace: Namespace = None,
    tls: Tls = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Run a worker alone, against a Temporal service: it calls models and runs tools."""
    require("server")
    from caxton.runtime.server import run_worker

    flags = _temporal(temporal_address, namespace, tls, tls_ca, tls_cert, tls_key)
    loaded = current().settings(
        data_dir=data_dir, metrics_port=metrics_port, log__level=log_level, log__format=log_format, **flags
    )
    _configure_logging(loaded)
    run_worker(loaded.settings, _reporter())


def _configure_logging(loaded: "LoadedSettings") -> None:
    """Sends the log to stderr; where a person watches, warnings only, unless the settings say how much to tell."""
    from caxton.observability.logs import configure_logging

    log = loaded.settings.log
    for_a_person = is_terminal(sys.stderr) and loaded.origins["log.level"] == "default"
    configure_logging("warning" if for_a_person else log.level, log.format)


def _temporal(
    address: str | None,
    namespace: str | None,
    tls: bool | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> dict[str, Any]:
    """The flags of the Temporal service by the names of the settings; a certificate means that TLS is wanted."""
    if tls is None and (tls_ca or tls_cert):
        tls = True
    return {
        "temporal__address": address,
        "temporal__namespace": namespace,
        "temporal__tls": tls,
        "temporal__tls_ca": tls_ca,
        "temporal__tls_cert": tls_cert,
        "temporal__tls_key": tls_key,
    }


def _reporter() -> "Reporter":
    from caxton.cli.reporter import JsonReporter, TerminalReporter

    return JsonReporter() if current().json else TerminalReporter()
