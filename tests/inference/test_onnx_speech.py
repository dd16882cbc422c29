# SPDX-License-Identifier: AGPL-3.0-or-later
"""Words, thoughts and calls are told apart wherever the tokens are cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from haoya.inference.onnx.speech import Speech

SAID = [
    *("好", "😀", "<", "<t", "tool", "<tool_call>", "</tool_call>", "</tool", "</think>"),
    *("<think>", "END", "EN", "\n", " ", "é", "a"),
]


def hear(pieces: list[bytes]) -> tuple[dict[str, str], list[str], bool]:
    speech = Speech(opens="<tool_call>", closes="</tool_call>", stops=("END",))
    words = {"text": "", "thought": ""}
    calls: list[str] = []
    heard = [one for piece in pieces for one in speech.hear(piece)] + speech.finish()
    for one in heard:
        if one.kind == "call":
            calls.append(one.text)
        else:
            words[one.kind] += one.text
    return words, calls, speech.stopped


@given(st.lists(st.sampled_from(SAID), max_size=12), st.lists(st.integers(1, 60), max_size=20))
def test_it_does_not_matter_where_the_bytes_are_cut(said: list[str], cuts: list[int]) -> None:
    whole = "".join(said).encode()
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[a:b] for a, b in pairwise(places)]
    singles = [whole[n : n + 1] for n in range(len(whole))]
    assert hear(pieces) == hear([whole]) == hear(singles)


@given(st.lists(st.sampled_from(SAID), max_size=12))
def test_nothing_is_lost_but_marks_and_what_comes_after_a_stop(said: list[str]) -> None:
    words, calls, stopped = hear(["".join(said).encode()])
    kept = "".join([*words.values(), *calls])
    assert len(kept) <= len("".join(said))
    if not stopped and not {"<", "</", "<t", "E"} & set("".join(said)):
        assert kept == "".join(said).lstrip()


def test_thoughts_words_and_calls() -> None:
    said = "<think>hm</think>\n\nlook <tool_call>{1}</tool_call>\n<tool_call>{2}</tool_call> so"
    words, calls, _ = hear([said.encode()])
    assert words == {"text": "look so", "thought": "hm"}
    assert calls == ["{1}", "{2}"]


def test_a_call_that_breaks_off_is_no_call() -> None:
    words, calls, _ = hear([b'so <tool_call>{"name": "lo'])
    assert words == {"text": "so ", "thought": ""}
    assert calls == []
