"""What of a job's arguments may be shown."""

import json
import time

import pytest

from aiq.bounds import MAX_ERROR_BYTES, MAX_SAMPLE_BYTES
from aiq.rules.redaction import HIDDEN, cleared_error, cleared_text, sample_of


def sample(value: object) -> object:
    return json.loads(sample_of(json.dumps(value).encode()))


@pytest.mark.parametrize(
    "name",
    [
        *("password", "userPassword", "secret", "api_key", "apiKey", "Authorization", "access-key", "auth_token"),
        *("pwd", "db_pwd", "pw", "auth", "basic-auth", "session_id", "sessionId"),
    ],
)
def test_what_a_name_gives_away_is_hidden(name: str) -> None:
    assert sample({"a": [{name: "x"}], "n": 1}) == {"a": [{name: HIDDEN}], "n": 1}


@pytest.mark.parametrize(
    "name", ["max_tokens", "tokens", "input_tokens", "author", "keys", "passage", "oauth", "session", "sessions"]
)
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
        "npm_abcdefghijklmnopqrstuvwxyz0123456789",
        "SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    ],
)
def test_what_looks_like_a_secret_is_hidden_within_a_text(text: str) -> None:
    cleared = cleared_text(f"before {text} after")

    assert cleared.replace("Bearer ", "").startswith(f"before {HIDDEN}")
    assert text not in cleared


@pytest.mark.parametrize(
    "text", ["password: hunter2hunter2hunter2", "token=0123456789abcdef0123", "api key 0123456789abcdef"]
)
def test_what_follows_the_word_for_a_secret_is_hidden(text: str) -> None:
    assert HIDDEN in cleared_text(text)
    assert not any(word in cleared_text(text) for word in ("hunter2", "0123456789"))


SAID = {
    "GET https://api.example/v1?key=AIzaSyA12345&alt=json": "GET https://api.example/v1?key=[redacted]&alt=json",
    "https://a.example/b?sv=1&X-Amz-Signature=ab%2Bcd": "https://a.example/b?sv=1&X-Amz-Signature=[redacted]",
    "postgresql://bob:hunter2@localhost/db": "postgresql://[redacted]@localhost/db",
    "redis://:hunter2@localhost": "redis://[redacted]@localhost",
    "Authorization: Bearer abcdefgh12": "Authorization: Bearer [redacted]",
    "{'Authorization': 'Basic dXNlcjpwYXNz'}": "{'Authorization': '[redacted]'}",
    "x-api-key: 0123456789abcdef": "x-api-key: [redacted]",
    "aws_secret_access_key=abcd/efgh+1234": "aws_secret_access_key=[redacted]",
    "api_key='abcd1'": "api_key='[redacted]'",
    'body {"password":"hunter2"}': 'body {"password":"[redacted]"}',
    r"{\"api_key\":\"abc12345\"}": r"{\"api_key\":\"[redacted]\"}",
    "AKIAIOSFODNN7EXAMPLE is no key": "[redacted] is no key",
    "https://t.example/bot123456789:AAabcdefghijklmnopqrstuvwxyz-012345/send": "https://t.example/bot123456789[redacted]/send",
    "pw=hunter2 for bob": "pw=[redacted] for bob",
    "db_pwd=hunter2": "db_pwd=[redacted]",
    "token=abc, again": "token=[redacted], again",
    "{'auth': 'abc'}": "{'auth': '[redacted]'}",
    '{"session_id": "a1"}': '{"session_id": "[redacted]"}',
    "password is hunter2": "password is [redacted]",
    "the password was 'hunter2'": "the password was '[redacted]'",
}


@pytest.mark.parametrize("text", SAID)
def test_what_libraries_quote_in_their_errors_is_hidden(text: str) -> None:
    assert cleared_error(f"Refused: {text}") == f"Refused: {SAID[text]}"


@pytest.mark.parametrize(
    "text",
    [
        "Basic authentication required",
        "max_tokens=100 is too large",
        "https://a.example/b?max_tokens=100&page=2",
        "skeletonization of a graph",
        "KeyError: 'token'",
        "token count 17",
        "password is required",
        "token is 17 hours old",
        "the author=bob of npm_config_registry",
        "SG.a.b at 12345678:AAB",
        "at https://a.example:8080/path, line 3",
    ],
)
def test_what_says_what_went_wrong_stays(text: str) -> None:
    assert cleared_error(text) == text


def test_half_a_secret_at_the_end_of_a_long_error_goes_with_the_cut() -> None:
    for filler in ("x ", "x"):
        long = filler * (MAX_ERROR_BYTES // len(filler) - 10) + " sk-abcdefghijklmnopqrst"

        assert "sk-" not in cleared_error(long)
        assert len(cleared_error(long)) > MAX_ERROR_BYTES - 1_000


HOSTILE = (
    "-ey",
    "ey",
    "eyJhbGciOi.",
    "-----BEGIN ",
    "://a:",
    "?",
    ";key",
    "secret-a-b-c",
    "token ",
    "sk-",
    "A-",
    "SG.",
    "SG",
    "npm_",
    "12345678:AA",
    "pw",
    "auth ",
    "token is ",
    "session_id",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_takes_long(text: str) -> None:
    """Twice the text takes about twice the time; what were quadratic would take minutes here."""
    began = time.process_time()
    cleared_text(text * (300_000 // len(text)))

    assert time.process_time() - began < 10


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
