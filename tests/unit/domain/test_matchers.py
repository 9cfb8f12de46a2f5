"""Patterns for arguments: rules that demand take doubt for a match, rules that allow do not."""

import time
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from caxton.domain.matchers import Comparison, Pattern, may_match, surely_like, surely_matches

PATTERN: TypeAdapter[Any] = TypeAdapter(Pattern)
PAY = "https://bank.example/pay*"


@pytest.mark.parametrize(
    ("pattern", "arguments", "demands", "allows"),
    [
        ({"amount": {"above": 100}}, {"amount": 101}, True, True),
        ({"amount": {"above": 100}}, {"amount": 100}, False, False),
        ({"amount": {"above": 100}}, {"amount": "5000"}, True, True),
        ({"amount": {"above": 100}}, {"amount": "5,000"}, True, False),
        ({"amount": {"above": 100}}, {"amount": "1e9"}, True, True),
        ({"amount": {"above": 100}}, {"amount": True}, True, False),
        ({"amount": {"above": 100}}, {"amount": [5000]}, True, False),
        ({"amount": {"above": 100}}, {"amount": None}, True, False),
        ({"amount": {"above": 100}}, {"amount": float("inf")}, True, True),
        ({"amount": {"above": 100}}, {"amount": float("nan")}, True, False),
        ({"amount": {"above": 100}}, {}, True, False),
        ({"amount": {"above": 1, "below": 9}}, {"amount": 5}, True, True),
        ({"to": {"like": "*@example.com"}}, {"to": "a@example.com"}, True, True),
        ({"to": {"like": "*@example.com"}}, {"to": "A@EXAMPLE.COM "}, True, False),
        ({"to": {"like": "*@example.com"}}, {"to": "a@example.com.evil"}, False, False),
        ({"to": {"like": "*@example.com"}}, {"to": ["a@example.com"]}, True, False),
        ({"to": {"like": "a"}}, {"to": "a" * 2_000}, True, False),
        ({"order.total": 5}, {"order": {"total": 5}}, True, True),
        ({"order.total": 5}, {"order": "5"}, True, False),
        ({"flag": True}, {"flag": 1}, False, False),
        ({"kind": {"one_of": ["a", 2]}}, {"kind": 2.0}, True, True),
        ({"kind": {"one_of": ["a", 2]}}, {"kind": "b"}, False, False),
        ({"order.total": {"above": 100}}, {"order.total": 1, "order": {"total": 100_000}}, True, False),
        ({"order.total": {"above": 100}}, {"order.total": 100_000, "order": {"total": 1}}, True, False),
        ({"a.b.c": 1}, {"a.b": {"c": 1}, "a": {"b": {"c": 2}, "b.c": 3}}, True, False),
        ({"order.total": {"above": 100}}, {"order.total": 1, "order": {"total": 2}}, False, False),
        ({"to": "bob"}, {"to": "Bob"}, True, False),
        ({"to": "bob"}, {"to": "bob "}, True, False),
        ({"to": "bob"}, {"to": "bo\u200bb"}, True, False),
        ({"to": "bob"}, {"to": "\uff42ob"}, True, False),
        ({"to": "bob"}, {"to": ["bob"]}, True, False),
        ({"to": "bob"}, {"to": None}, True, False),
        ({"to": "bob"}, {"to": "ben"}, False, False),
        ({"to": {"one_of": ["bob", "ben"]}}, {"to": "BEN"}, True, False),
        ({"to": {"one_of": ["bob"]}}, {"to": ["bob"]}, True, False),
        ({"amount": 100}, {"amount": "100"}, True, False),
        ({"amount": 100}, {"amount": "1e2"}, True, False),
        ({"amount": 100}, {"amount": "100 EUR"}, True, False),
        ({"amount": 100}, {"amount": "99"}, False, False),
        ({"amount": "100"}, {"amount": 100}, True, False),
        ({"flag": True}, {"flag": "True"}, True, False),
        ({"flag": True}, {"flag": False}, False, False),
        ({"to": {"like": "*@example.com"}}, {"to": "a@example.com\u200b"}, True, False),
        ({"to": {"like": "*@example.com"}}, {"to": "a@example.com."}, True, False),
        ({"to": {"like": "*@example.com"}}, {"to": "a@example\u3002com"}, True, False),
        ({"to": {"like": "*@example.com"}}, {"to": "a@exa\u034fmple.com"}, True, False),
        ({"to": {"like": "*@example.com"}}, {"to": "a@example\ufe0f.com"}, True, False),
        ({"to": "bob"}, {"to": "b\u115fo\u180eb"}, True, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example/pay/1"}, True, True),
        ({"url": {"like": PAY}}, {"url": "https://bank.example/%70ay/1"}, True, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example/%2570ay/1"}, True, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example/x/../pay/1"}, True, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example//./pay/1"}, True, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example\\pay\\1"}, True, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example:443/pay/1"}, True, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example./pay/1"}, True, False),
        ({"url": {"like": PAY}}, {"url": "https://me:x@bank.example/pay/1"}, True, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example/%" + "25" * 9 + "70ay"}, True, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example:8443/pay/1"}, False, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example/see/1"}, False, False),
        ({"url": {"like": PAY}}, {"url": "https://bank.example/pay/../see/1"}, True, False),
        ({"url": {"like": "http://127.0.0.1/*"}}, {"url": "http://0x7f.1/x"}, True, False),
        ({"url": "https://bank.example/pay"}, {"url": "HTTPS://bank.example/see/%2e%2e/pay"}, True, False),
        ({"url": {"like": "https://bank.example/pay/*"}}, {"url": "https://bank.example/%70ay/"}, True, False),
        ({"url": {"like": "*?to=bob*"}}, {"url": "https://bank.example/?to=%62ob"}, True, False),
        ({"path": "/etc/passwd"}, {"path": "/" + "./" * 9_000 + "etc/passwd"}, True, False),
        ({"to": "bob"}, {"to": "b" * 20_000}, False, False),
        ({"path": {"like": "/etc/*"}}, {"path": "/tmp/../etc/passwd"}, True, False),
        ({"path": {"like": "/etc/*"}}, {"path": "//etc/passwd"}, True, False),
        ({"path": {"like": "/tmp/*"}}, {"path": "/tmp/../etc/passwd"}, True, False),
        ({"path": {"like": "/tmp/*"}}, {"path": "/tmp/a/../b"}, True, True),
        ({"to": {"like": "[a-z]"}}, {"to": "b"}, False, False),
        ({"to": {"like": "[a-z]*"}}, {"to": "[a-z]!"}, True, True),
        ({}, {"anything": 1}, True, True),
    ],
)
def test_doubt_is_read_by_what_the_rule_is_for(
    pattern: Any, arguments: dict[str, Any], demands: bool, allows: bool
) -> None:
    found = PATTERN.validate_python(pattern)
    assert may_match(found, arguments) is demands
    assert surely_matches(found, arguments) is allows


def test_only_what_is_named_may_differ() -> None:
    original = {"to": "a@example.com", "amount": 5, "order": {"id": 1, "note": "x"}}
    pattern = PATTERN.validate_python({"amount": {"below": 10}, "order.note": {"like": "*"}})
    assert surely_like(original, pattern, {**original, "amount": 9, "order": {"id": 1, "note": "y"}})
    assert not surely_like(original, pattern, {**original, "amount": 10})
    assert not surely_like(original, pattern, {**original, "to": "b@example.com"})
    assert not surely_like(original, pattern, {**original, "extra": 1})
    assert not surely_like(original, pattern, {**original, "order": {"id": 2, "note": "x"}})
    assert surely_like(original, {}, original)
    assert not surely_like({"flag": True}, {}, {"flag": 1})


@pytest.mark.parametrize("wrong", [{}, {"like": "*a" * 9}, {"above": "x"}, {"above": float("nan")}, {"matches": "x"}])
def test_patterns_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Comparison(**wrong)


def test_no_pattern_takes_long() -> None:
    began = time.monotonic()
    assert Comparison(like="*a*a*a*a*b").fits("a" * 1_000) is False
    assert time.monotonic() - began < 5
