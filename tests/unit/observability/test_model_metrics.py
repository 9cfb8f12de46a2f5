"""Model calls that brought nothing are counted with what they cost."""

from caxton.domain.usage import Usage
from caxton.observability.metrics import Metrics


def test_failed_attempts_are_counted_with_their_tokens() -> None:
    metrics = Metrics()
    metrics.model_attempt_failed("a:b", "model_timeout", Usage())
    metrics.model_attempt_failed("a:b", "model_answer_invalid", Usage(input_tokens=30, output_tokens=7, cost_usd=0.5))
    text = metrics.render()[0].decode()
    assert 'caxton_model_attempts_failed_total{code="model_timeout",model="a:b"} 1.0' in text
    assert 'caxton_model_attempts_failed_total{code="model_answer_invalid",model="a:b"} 1.0' in text
    assert 'caxton_model_tokens_total{direction="input",model="a:b"} 30.0' in text
    assert 'caxton_model_cost_usd_total{model="a:b"} 0.5' in text
    assert "caxton_model_calls_total{" not in text
