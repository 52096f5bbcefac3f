"""How a coded value is told from a plain one, and what a header says."""

import pytest

from aiq.errors import PayloadInvalid, Unavailable
from aiq.rules.codec import Codec
from aiq.rules.coding import MAGIC, Unreadable, check_readable, coded, parted, why_unreadable
from aiq.rules.writing import Unfit


@pytest.mark.parametrize("tags", [(), ("zlib",), ("zlib", "aesgcm=k1")])
def test_a_header_comes_back_with_what_is_behind_it(tags: tuple[str, ...]) -> None:
    made = coded(tags, b"body")

    assert parted(made) == (tags, b"body")


@pytest.mark.parametrize("plain", [b"", b"[]", b'{"a": 1}', "text ÿ".encode(), MAGIC])
def test_plain_values_are_no_coded_ones(plain: bytes) -> None:
    assert parted(plain) is None
    assert why_unreadable(plain) is None
    check_readable(plain)


def test_a_coded_value_says_what_lacks_where_there_are_no_codecs() -> None:
    made = bytes(coded(("zlib", "aesgcm=k1"), b"body"))

    with pytest.raises(PayloadInvalid, match="encoded with zlib, then aesgcm=k1"):
        check_readable(b"[]", made)
    with pytest.raises(Unfit, match="encoded with zlib, then aesgcm=k1"):
        Codec(str).decode(made)


def test_what_may_be_read_later_is_no_invalid_payload() -> None:
    with pytest.raises(Unavailable, match="away"):
        check_readable(Unreadable.of(coded(("offload",), b"key"), "away", passing=True))
    with pytest.raises(PayloadInvalid, match="changed"):
        check_readable(Unreadable.of(coded(("aesgcm=k",), b""), "changed"))
