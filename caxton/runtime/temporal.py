"""One wiring of Temporal for client, worker and replayer: converter, sandbox, failure types, error translation."""

from typing import Any

from temporalio.client import Client, GrpcCompression, TLSConfig
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    UnsandboxedWorkflowRunner,
)

from caxton.adapters.secrets import SECRETS
from caxton.client.discovery import is_loopback
from caxton.domain.errors import CaxtonError, EngineUnavailable, Hint, InvalidSettings, SecretMissing
from caxton.domain.secrets import one_reference
from caxton.observability.logs import core_runtime
from caxton.observability.tracing import temporal_interceptors
from caxton.runtime.encryption import EncryptionCodec, with_codec
from caxton.runtime.payloads import data_converter
from caxton.runtime.settings_sections import TemporalSettings
from caxton.workflows.failures import to_failure


class CaxtonPlugin(SimplePlugin):
    """Everything that client, worker and replayer must agree on."""

    def __init__(self, codec: EncryptionCodec | None = None) -> None:
        """Create the one plugin; with `codec`, what the engine keeps is encrypted."""
        super().__init__(
            "caxton",
            data_converter=with_codec(data_converter, codec),
            # Not Temporal's sandbox, which costs half of a turn's workflow time: import-linter and a test keep workflow code
            # from anything that is not deterministic (docs/decisions/0004).
            workflow_runner=UnsandboxedWorkflowRunner(),
            workflow_failure_exception_types=[CaxtonError],
            interceptors=[_Errors(), *temporal_interceptors()],
        )


class _Errors(Interceptor):
    """Turns a CaxtonError that leaves an activity into a failure that carries its report."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _ActivityErrors(next)


class _ActivityErrors(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except CaxtonError as error:
            raise to_failure(error) from None


async def connect(
    settings: TemporalSettings, address: str, codec: EncryptionCodec | None = None, *, lazy: bool = False
) -> Client:
    """A client for the engine at `address`.

    Raises:
        EngineUnavailable: nothing answers there.
        InvalidSettings: the TLS files or the key's name are wrong.
    """
    reference = one_reference(settings.api_key, settings.api_key_env)
    try:
        api_key = SECRETS.get(reference).get_secret_value() if reference else None
    except SecretMissing as error:
        raise InvalidSettings(f"temporal.api_key: {error.message}", "set it, or take the setting out") from None
    try:
        return await Client.connect(
            address,
            namespace=settings.namespace,
            tls=_tls(settings),
            api_key=api_key,
            plugins=[CaxtonPlugin(codec)],
            runtime=core_runtime(),
            grpc_compression=_compression(address),
            lazy=lazy,
        )
    except RuntimeError as error:
        raise EngineUnavailable(
            f"no Temporal service answers at {address}",
            Hint(text="check --temporal-address, --namespace and --tls"),
            reason=str(error)[:300],
            details={"address": address, "namespace": settings.namespace},
        ) from error


def _compression(address: str) -> GrpcCompression:
    """On one machine there is no network to spare, and a sixth of an update's CPU was packing and unpacking."""
    return GrpcCompression.NONE if is_loopback(f"http://{address}") else GrpcCompression.GZIP


def _tls(settings: TemporalSettings) -> TLSConfig | bool:
    files = (settings.tls_ca, settings.tls_cert, settings.tls_key)
    if not settings.tls and not any(files):
        return False
    try:
        ca, cert, key = (file.read_bytes() if file else None for file in files)
    except OSError as error:
        raise InvalidSettings(f"a TLS file cannot be read: {error.filename}", reason=error.strerror) from error
    return TLSConfig(server_root_ca_cert=ca, client_cert=cert, client_private_key=key)
