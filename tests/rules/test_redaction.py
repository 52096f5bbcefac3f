"""What of a job's arguments may be shown."""

import json

import pytest

from aiq.bounds import MAX_SAMPLE_BYTES
from aiq.rules.redaction import HIDDEN, cleared_text, sample_of


def sample(value: object) -> object:
    return json.loads(sample_of(json.dumps(value).encode()))


@pytest.mark.parametrize(
    "name", ["password", "userPassword", "secret", "api_key", "apiKey", "Authorization", "access-key", "auth_token"]
)
def test_what_a_name_gives_away_is_hidden(name: str) -> None:
    assert sample({"a": [{name: "x"}], "n": 1}) == {"a": [{name: HIDDEN}], "n": 1}


@pytest.mark.parametrize("name", ["max_tokens", "tokens", "input_tokens", "author", "keys", "passage"])
def test_what_only_sounds_like_it_is_shown(name: str) -> None:
    assert sample({name: 7}) == {name: 7}


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefghijklmnop",
        "Bearer abcdef.ghijklmnop",
        "eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIEcutoff",
        "ghp_abcdefghijklmnopqrst",
    ],
)
def test_what_looks_like_a_secret_is_hidden_within_a_text(text: str) -> None:
    assert cleared_text(f"before {text} after").startswith(f"before {HIDDEN}")
    assert text not in cleared_text(f"before {text} after")


@pytest.mark.parametrize(
    "text", ["password: hunter2hunter2hunter2", "token=0123456789abcdef0123", "api key 0123456789abcdef"]
)
def test_what_follows_the_word_for_a_secret_is_hidden(text: str) -> None:
    assert HIDDEN in cleared_text(text)
    assert not any(word in cleared_text(text) for word in ("hunter2", "0123456789"))


def test_a_plain_text_stays_as_it_is() -> None:
    text = "Summarise the passage on passwords: they should be long. 17 tokens."

    assert cleared_text(text) == text


def test_a_sample_is_cut_after_its_secrets_are_gone() -> None:
    long = "x" * (MAX_SAMPLE_BYTES - 20) + " sk-abcdefghijklmnopqrstuvwxyz"

    assert len(sample_of(json.dumps([long]).encode())) <= MAX_SAMPLE_BYTES
    assert "sk-" not in sample_of(json.dumps([long]).encode())


def test_bytes_that_are_no_json_are_shown_as_they_can_be() -> None:
    assert sample_of(b"\xff token=0123456789abcdef0123") == f"\ufffd token={HIDDEN}"


def test_what_is_nested_too_deep_is_hidden() -> None:
    deep: object = "secret"
    for _ in range(100):
        deep = [deep]

    assert HIDDEN in sample_of(json.dumps(deep).encode())
    assert "secret" not in sample_of(json.dumps(deep).encode())
