"""The rules by which the provider simulator reads and answers, without a server."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiq.testing.provider.answers import Pace
from aiq.testing.provider.extract import MAX_ANSWER_TOKENS, NO_TEXT, summarise
from aiq.testing.provider.text import blocks, count_tokens, sentences, tokens

BEES = (
    "Bees collect nectar and pollen from flowers. "
    "A colony of bees stores honey so that the colony survives the winter. "
    "Flowers that bees visit are pollinated, and without pollen no colony of bees could live. "
    "My neighbour painted his fence yesterday evening."
)
GLACIERS = (
    "Glaciers form where snow outlasts the summer. "
    "Glaciers grind rock into flour, and rivers carry the flour away. "
    "Somebody has left a glove on the path."
)


@given(st.text(max_size=300))
def test_the_tokens_of_a_text_are_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text
    assert count_tokens(text) == len(tokens(text))


def test_a_token_is_a_piece_of_a_word_or_a_mark_with_the_space_before_it() -> None:
    assert tokens("Leases, renewed: extraordinarily!\n") == [
        "Leases", ",", " renewed", ":", " extraord", "inarily", "!", "\n",
    ]  # fmt: skip


@given(st.text(max_size=400), st.integers(1, 40))
def test_an_answer_keeps_its_limit_and_is_never_empty(text: str, max_tokens: int) -> None:
    answer = summarise(text, max_tokens)

    assert 0 < count_tokens(answer.text) <= max_tokens
    assert answer == summarise(text, max_tokens)


def test_the_sentences_about_the_subject_are_chosen_in_the_order_of_the_document() -> None:
    answer = summarise(BEES, max_tokens=40)

    chosen = sentences(answer.text)
    assert len(chosen) >= 2
    assert chosen == [sentence for sentence in sentences(BEES) if sentence in chosen]
    assert "fence" not in answer.text


def test_the_answer_is_the_same_in_every_process() -> None:
    # Written down, because sets of strings are in another order in every process.
    assert summarise(BEES, max_tokens=30).text == (
        "Bees collect nectar and pollen from flowers. "
        "A colony of bees stores honey so that the colony survives the winter."
    )


def test_a_short_document_is_answered_in_whole_and_stops_by_itself() -> None:
    assert summarise("Snow is white and cold.").text == "Snow is white and cold."
    assert summarise("Snow is white and cold.").finish_reason == "stop"


def test_a_long_document_is_answered_by_a_part_of_it() -> None:
    document = " ".join(f"Chapter {name} tells of the {name} and the {name}stone." for name in names(2_000))

    answer = summarise(document)

    assert count_tokens(answer.text) <= MAX_ANSWER_TOKENS
    assert answer.finish_reason == "stop"


def test_a_sentence_said_twice_is_answered_once() -> None:
    assert summarise("Snow is white and cold. Snow is white and cold.").text == "Snow is white and cold."


def test_equals_are_decided_by_their_place() -> None:
    assert summarise("Ravens eat grain. Larches eat grain.", max_tokens=4).text == "Ravens eat grain."


def test_a_sentence_is_cut_only_where_none_fits() -> None:
    assert summarise(BEES, max_tokens=3).finish_reason == "length"
    assert BEES.find(summarise(BEES, max_tokens=3).text) >= 0
    assert count_tokens(summarise(BEES, max_tokens=3).text) == 3


@pytest.mark.parametrize(
    "prompt",
    [
        "You write for engineers. Summarise the following document in three sentences:\n\n{document}",
        "Bees and flowers matter to the colony of readers. Summarise this:\n\n{document}",
        "Summarise the document below. Write plainly.\n\n{document}",
        "Summarise what follows.\n<document>\n{document}\n</document>\nWrite three sentences at most.",
    ],
)
def test_the_instruction_is_no_part_of_the_answer(prompt: str) -> None:
    answer = summarise(prompt.format(document=BEES), max_tokens=40)

    assert answer.text == summarise(BEES, max_tokens=40).text


@pytest.mark.parametrize(
    "prompt",
    [
        "Compose a digest of these summaries:\n\n{first}\n\n---\n\n{second}",
        '<document name="bees.md">\n{first}\n</document>\n<document name="glaciers.md">\n{second}\n</document>',
    ],
)
def test_several_documents_are_composed_in_a_paragraph_each(prompt: str) -> None:
    bees, glaciers = summarise(prompt.format(first=BEES, second=GLACIERS), max_tokens=60).text.split("\n\n")

    assert set(sentences(bees)) <= set(sentences(BEES))
    assert set(sentences(glaciers)) <= set(sentences(GLACIERS))


@pytest.mark.parametrize("nothing", ["", "  \n\n ", "```\nx = 1\n```"])
def test_a_message_without_text_is_answered_so(nothing: str) -> None:
    assert summarise(nothing).text == NO_TEXT


def test_a_message_without_a_sentence_is_answered_with_what_there_is() -> None:
    assert summarise("ping").text == "ping"


def test_markdown_is_read_as_a_person_would() -> None:
    text = (
        "# Leases\n\n**LEASE-1** A lease that\nhas *expired* can be taken, see [retries](retries.md).\n"
        "- The first point of a list.\n- The second `point` of it.\n\n```python\nlease = take()\n```\n"
        "> Quoted words are read, too.\n\n| State | Next |\n|---|---|\n"
    )

    assert blocks(text)[:5] == [
        "Leases",
        "LEASE-1 A lease that has expired can be taken, see retries.",
        "The first point of a list.",
        "The second `point` of it.",
        "Quoted words are read, too.",
    ]
    assert "take()" not in " ".join(blocks(text))


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("Stores differ, e.g. Redis has no tables. They agree in the end.", 2),
        ("It takes 2.5 seconds on this machine. Then it ends by itself.", 2),
        ("He asked (in vain) who was there? Nobody, it turned out, was.", 2),
        ("The function a.b. c is not the end of a sentence at all.", 1),
        ("雪は白くてとても冷たいものです。氷河は夏の間も残る雪からできる。", 2),
        ("A heading without a full stop", 0),
        ("What follows is a list of points:", 0),
    ],
)
def test_sentences_end_where_a_reader_says(block: str, expected: int) -> None:
    assert len(sentences(block)) == expected


def test_hostile_texts_take_time_in_proportion_to_their_length(subtests: pytest.Subtests) -> None:
    for piece in ("<document ", "[", "*a", ".", "![", "`", "> ", "* a*", "[a](", "。", "-", "a.\n\n"):
        with subtests.test(piece=piece):
            began = time.thread_time()
            assert summarise(piece * 20_000).text
            # It takes a third of a second at most, of this thread's own time; in quadratic time it takes six.
            assert time.thread_time() - began < 3


def test_the_pace_says_what_is_made_by_when() -> None:
    pace = Pace(first_token=0.5, per_token=0.1)

    assert pace.due(1) == 0.5
    assert pace.due(11) == pytest.approx(1.5)
    assert [pace.made(elapsed, 20) for elapsed in (0.0, 0.49, 0.5, 1.55, 99.0)] == [0, 0, 1, 11, 20]
    assert Pace(0.0, 0.0).made(0.0, 20) == 20


def test_a_pace_cannot_run_backwards() -> None:
    with pytest.raises(ValueError, match="negative"):
        Pace(first_token=0.0, per_token=-1.0)


def names(count: int) -> list[str]:
    """Make up words, all different, without a digit."""
    letters = "abcdefghijklmnopqrst"
    return [f"w{letters[n // 400]}{letters[n // 20 % 20]}{letters[n % 20]}n" for n in range(count)]
