"""The machine and the services below."""

from caxton.domain.errors.base import CaxtonError


class EngineUnavailable(CaxtonError):
    code = "engine_unavailable"
    status = 503
    exit_code = 5
    retryable = True
    title = "The workflow engine does not answer"


class EngineKeyMissing(CaxtonError):
    """The engine keeps payloads that no key of this server opens. They wait: with the key, work goes on where it was."""

    code = "engine_key_missing"
    status = 503
    exit_code = 8
    retryable = True
    title = "What the workflow engine keeps cannot be decrypted"


class EngineMissing(CaxtonError):
    code = "engine_missing"
    status = 503
    exit_code = 5
    title = "No workflow engine was found"


class NoWorker(CaxtonError):
    """An API is there and no worker. What was accepted is done as soon as there is one."""

    code = "no_worker"
    status = 503
    exit_code = 5
    retryable = True
    title = "No worker takes work"


class StoreUnavailable(CaxtonError):
    code = "store_unavailable"
    status = 503
    exit_code = 5
    retryable = True
    title = "The database cannot be used"


class MemoryUnavailable(CaxtonError):
    """Agents go on without it and say so."""

    code = "memory_unavailable"
    status = 503
    exit_code = 5
    retryable = True
    title = "The memory cannot be reached"


class AuditSinkBehind(CaxtonError):
    """A sink for the event log without which nothing is to be changed does not keep up. Nothing was done."""

    code = "audit_sink_behind"
    status = 503
    exit_code = 8
    retryable = True
    title = "The audit log cannot leave the server"


class DiskFull(CaxtonError):
    code = "disk_full"
    status = 507
    exit_code = 5
    retryable = True
    title = "The disk is full"


class PortInUse(CaxtonError):
    code = "port_in_use"
    status = 500
    exit_code = 5
    title = "Another program uses the port"


class DataFolderNotWritable(CaxtonError):
    code = "data_folder_not_writable"
    status = 500
    exit_code = 5
    title = "The data folder cannot be written"


class DataFolderInUse(CaxtonError):
    code = "data_folder_in_use"
    status = 500
    exit_code = 7
    title = "Another server runs on the data folder"


class StartFailed(CaxtonError):
    code = "start_failed"
    status = 500
    exit_code = 5
    title = "The server could not start"


class NotInstalled(CaxtonError):
    """It belongs to an extra of the package; the hint has the command that installs it."""

    code = "not_installed"
    status = 500
    exit_code = 5
    title = "A part of Caxton is not installed"


class ServerUnreachable(CaxtonError):
    code = "server_unreachable"
    status = 503
    exit_code = 5
    retryable = True
    title = "The Caxton server does not answer"


class UsageError(CaxtonError):
    code = "usage"
    status = 400
    exit_code = 2
    title = "The command was not understood"
