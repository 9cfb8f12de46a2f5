"""Who asks, what for, and whether it is there."""

from caxton.domain.errors.base import CaxtonError


class NotAuthenticated(CaxtonError):
    code = "not_authenticated"
    status = 401
    exit_code = 6
    title = "The API key is missing or not valid"


class SignatureRefused(CaxtonError):
    """A delivery to a trigger is not signed with its secret, or was so too long ago."""

    code = "signature_refused"
    status = 401
    exit_code = 6
    title = "The signature is missing, not valid or too old"


class TriggerUnavailable(CaxtonError):
    """Its secret cannot be read."""

    code = "trigger_unavailable"
    status = 503
    exit_code = 5
    retryable = True
    title = "The trigger cannot take deliveries now"


class NotPermitted(CaxtonError):
    code = "not_permitted"
    status = 403
    exit_code = 6
    title = "The API key does not allow this"


class NotFound(CaxtonError):
    """Also the answer for what belongs to another customer: its existence is not told."""

    code = "not_found"
    status = 404
    exit_code = 4
    title = "There is no such thing"


class InvalidState(CaxtonError):
    code = "invalid_state"
    status = 409
    exit_code = 7
    title = "That cannot be done in the present state"


class ConversationBusy(InvalidState):
    code = "conversation_busy"
    title = "The conversation is at work"
    retryable = True


class ConversationClosed(InvalidState):
    code = "conversation_closed"
    title = "The conversation has ended"


class EventsDetached(InvalidState):
    """They are needed, and are in a segment of the log; `details` names the file."""

    code = "events_detached"
    status = 410
    title = "The events have left the database"


class ConversationActive(InvalidState):
    """A conversation that goes on cannot be deleted."""

    code = "conversation_active"
    title = "The conversation has not ended"


class IdempotencyConflict(CaxtonError):
    code = "idempotency_conflict"
    status = 409
    exit_code = 7
    title = "The idempotency key was used for another request"


class Overloaded(CaxtonError):
    code = "overloaded"
    status = 429
    exit_code = 5
    retryable = True
    title = "Too much work is waiting"


class RateLimited(CaxtonError):
    """Of one key, or with wrong keys from one address; `retry_after` says how long to wait."""

    code = "rate_limited"
    status = 429
    exit_code = 5
    retryable = True
    title = "Too many requests"


class TokenRefused(NotAuthenticated):
    """A token of the identity provider is not valid, or stands for nobody here."""

    code = "token_refused"
    title = "The token is not accepted"


class IdentityProviderUnavailable(CaxtonError):
    """Tokens cannot be verified now; API keys work."""

    code = "identity_provider_unavailable"
    status = 503
    exit_code = 5
    retryable = True
    title = "The identity provider does not answer"
