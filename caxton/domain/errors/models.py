"""Models that do not answer, or not usably."""

from caxton.domain.errors.turns import ExecutionFailed
from caxton.domain.usage import Usage


class ModelError(ExecutionFailed):
    code = "model_failed"
    title = "The model could not answer"

    usage: Usage | None = None
    """What a call used that brought nothing, where the provider told; not part of the report."""


class ModelNotConfigured(ModelError):
    code = "model_not_configured"
    status = 422
    exit_code = 3
    title = "The model's provider is not configured"


class ModelRefusedRequest(ModelError):
    code = "model_refused_request"
    title = "The model's provider refused the request"


class ModelInputUnsupported(ModelError):
    """A file goes with the request that the model does not take; `details["takes"]` lists the kinds that it does."""

    code = "model_input_unsupported"
    status = 422
    exit_code = 3
    title = "The model does not take such files"


class ModelRateLimited(ModelError):
    code = "model_rate_limited"
    status = 503
    retryable = True
    title = "The model's provider limits the rate of requests"


class ModelUnavailable(ModelError):
    code = "model_unavailable"
    status = 503
    retryable = True
    title = "The model's provider does not answer"


class ModelBreakerOpen(ModelUnavailable):
    code = "model_breaker_open"
    title = "The model's provider keeps failing, and rests"


class ModelTimeout(ModelError):
    code = "model_timeout"
    status = 504
    retryable = True
    title = "The model took too long"


class ModelSilent(ModelTimeout):
    code = "model_silent"
    title = "The model did not begin to answer in time"


class ModelStalled(ModelTimeout):
    code = "model_stalled"
    title = "The model stopped in the middle of its answer"


class ModelAnswerInvalid(ModelError):
    code = "model_answer_invalid"
    retryable = True
    title = "The model's answer could not be understood"


class ModelAnswerCut(ModelError):
    """Asking again would be cut again. A text that was cut is a reply, and its metadata says so."""

    code = "model_answer_cut"
    title = "The model used up its tokens before its answer was complete"


class RemoteAgentUnavailable(ModelUnavailable):
    code = "remote_agent_unavailable"
    title = "The remote agent cannot be reached"


class RemoteAgentTimeout(ModelTimeout):
    code = "remote_agent_timeout"
    title = "The remote agent took too long"


class RemoteAgentRefused(ModelRefusedRequest):
    code = "remote_agent_refused"
    title = "The remote agent refused the request"


class RemoteAgentFailed(ModelError):
    """Or it ended the work; `details["state"]` has the state of its task."""

    code = "remote_agent_failed"
    title = "The remote agent could not do the work"


class RemoteAnswerInvalid(ModelAnswerInvalid):
    code = "remote_answer_invalid"
    title = "The remote agent's answer is not A2A"


class CapabilityOutputInvalid(ModelError):
    """All attempts failed that the capability allows; `details["violations"]` has a path for each misfit of the last one."""

    code = "capability_output_invalid"
    title = "The agent's reply does not fit the capability's schema"


class NoScriptRule(ModelError):
    code = "no_script_rule"
    status = 422
    title = "No rule of the script matches"
