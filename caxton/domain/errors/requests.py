"""Errors of requests and definitions."""

from caxton.domain.errors.base import CaxtonError


class InvalidInput(CaxtonError):
    code = "invalid_input"
    status = 400
    exit_code = 3
    title = "The request is not valid"


class CapabilityInputInvalid(InvalidInput):
    """`details["violations"]` has a path for each misfit."""

    code = "capability_input_invalid"
    status = 422
    title = "The input does not fit the capability's schema"


class InvalidDefinitions(CaxtonError):
    """Files of a workspace are wrong. `details["problems"]` lists every :class:`caxton.domain.problems.Problem`."""

    code = "invalid_definitions"
    status = 422
    exit_code = 3
    title = "An agent, script or tool definition is not valid"


class GateFailed(CaxtonError):
    """A new version did not pass a gate before it took traffic; the version before it is live."""

    code = "gate_failed"
    status = 409
    exit_code = 9
    title = "A gate was not passed"


class InvalidSettings(CaxtonError):
    code = "invalid_settings"
    status = 500
    exit_code = 3
    title = "A setting is not valid"


class SecretMissing(InvalidSettings):
    """The error names the reference, never a secret."""

    code = "secret_missing"
    title = "A secret that the settings refer to is not there"


class MethodNotAllowed(InvalidInput):
    """The header `Allow` of the answer lists those that it takes."""

    code = "method_not_allowed"
    status = 405
    title = "The address does not take this method"


class UnsupportedMediaType(InvalidInput):
    """The body's content type is none that the address takes; `details["accept"]` lists those."""

    code = "unsupported_media_type"
    status = 415
    title = "The address does not take this content type"


class WrongHost(InvalidInput):
    """The request is for a host that this server is not: a proxy's mistake, or a page that poses as the server's own."""

    code = "wrong_host"
    status = 421
    title = "The server does not go by this name"


class CrossSite(CaxtonError):
    """A browser sent the request on behalf of a page of another site."""

    code = "cross_site"
    status = 403
    exit_code = 6
    title = "Pages of other sites may not call this server"


class MalformedRequest(InvalidInput):
    """What came over the connection is not an HTTP request, or says two things at once."""

    code = "malformed_request"
    title = "The request is not HTTP as it should be"


class TargetTooLong(InvalidInput):
    code = "target_too_long"
    status = 414
    title = "The request's address is too long"


class HeadTooLarge(InvalidInput):
    """Or there are too many of them."""

    code = "headers_too_large"
    status = 431
    title = "The request's headers are too large"


class NotImplementedHere(InvalidInput):
    """It does not know the method, transfer coding or protocol."""

    code = "not_implemented"
    status = 501
    title = "The server does not do this"


class HttpVersionNotSupported(InvalidInput):
    code = "http_version_not_supported"
    status = 505
    title = "The server does not speak this version of HTTP"


class RequestTooSlow(CaxtonError):
    """The connection is closed."""

    code = "request_too_slow"
    status = 408
    exit_code = 5
    retryable = True
    title = "The request took too long to arrive"


class TooManyConnections(CaxtonError):
    """The server has no room for another connection, or not for another one from the same address."""

    code = "too_many_connections"
    status = 503
    exit_code = 5
    retryable = True
    title = "Too many connections are open"


class CursorInvalid(InvalidInput):
    """A cursor is not one that this list gave out."""

    code = "cursor_invalid"
    title = "The cursor is not valid here"


class PayloadTooLarge(CaxtonError):
    code = "payload_too_large"
    status = 413
    exit_code = 3
    title = "The request is larger than allowed"
