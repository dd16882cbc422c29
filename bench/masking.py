# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much personal data is found, what is taken for it and is none, and what looking costs.

    python bench/masking.py [--each 50] [--json]

Sentences in Chinese and English with invented data in known places, and sentences with order
numbers, prices, dates, versions and checksums (tests/policy/personal.py). Recall is the share of
planted values of which no letter or digit is left to read; precision the share of finds that touch
a planted value. The corpus was written together with the rules; `handwritten_…` is of messages that
were written by hand afterwards (tests/policy/handwritten.txt), which is nearer to life.

Then time: texts of 300 characters without and with personal data, found for the first time; the
same text seen again, as a conversation's are at each step; and a whole prompt put away and its
answer put back in pieces. `ratio` is finding over one `re.sub` that masks digits and nothing else.
"""

import argparse
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random

import rig

sys.path.insert(0, str(rig.ROOT))

from tests.policy.personal import handwritten, harmless, personal

from haoya.core.tool import Line, Prompt
from haoya.policy.masking.find import find
from haoya.policy.masking.mask import Finds, Mask
from haoya.policy.masking.words import Rules

RULES = Rules()
ZH = (
    "我昨天和同事讨论了新的项目计划，大家都觉得进度有点紧张，可能需要再多安排两个人来帮忙。"
    "另外，下周三下午三点的会议改到四点，请提前准备好材料，不要迟到。谢谢大家的理解和支持！"
)
EN = (
    "I talked with my colleagues yesterday about the new project plan and we all felt that the "
    "schedule is a little tight, so we may need two more people to help. The meeting on Wednesday "
    "moved to 4 pm, please prepare the documents in advance. "
)
LOADED = (
    "我叫王芳，身份证110101198803051239，电话138-0013-8000，住在北京市朝阳区建国路88号院3号楼2单元"
    "1203室，邮箱wang.fang@example.com，银行卡6222021234567890128，车牌京A12345。请帮我约周三下午三点"
    "的号，病历号：12345678。My flight lands at 9, call me at +1 (212) 555-0142 if you can. "
)
CHARACTERS = 300
_PLAIN = re.compile(r"\d+")

Rows = dict[str, object]


def judged(each: int, seed: int = 1) -> Rows:
    """Recall and precision by kind."""
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for sample in personal(Random(seed), each):
        finds = find(sample.text, RULES)
        hidden = {i for one in finds for i in range(one.start, one.end)}
        for start, end, kind in sample.planted:
            planted[kind] += 1
            shown = [i for i in range(start, end) if sample.text[i].isalnum() and i not in hidden]
            found[kind] += not shown
        for one in finds:
            touched = any(one.start < end and start < one.end for start, end, _ in sample.planted)
            (right if touched else wrong)[one.kind] += 1
    sentences = 0
    for sample in harmless(Random(seed + 1), each):
        sentences += 1
        wrong.update(one.kind for one in find(sample.text, RULES))
    kinds = sorted(planted)
    return {
        "recall": found.total() / planted.total(),
        "precision": right.total() / (right.total() + wrong.total()),
        "planted": planted.total(),
        "harmless_sentences": sentences,
        "false_finds": wrong.total(),
        "recall_by_kind": {kind: round(found[kind] / planted[kind], 4) for kind in kinds},
        "precision_by_kind": {
            kind: round(right[kind] / (right[kind] + wrong[kind]), 4)
            for kind in sorted(right | wrong)
        },
    }


def by_hand() -> Rows:
    """The same for messages written by hand."""
    planted = found = right = wrong = 0
    for sample in handwritten():
        finds = find(sample.text, RULES)
        hidden = {i for one in finds for i in range(one.start, one.end)}
        for start, end, _ in sample.planted:
            planted += 1
            found += all(i in hidden for i in range(start, end) if sample.text[i].isalnum())
        for one in finds:
            touched = any(one.start < end and start < one.end for start, end, _ in sample.planted)
            right, wrong = right + touched, wrong + (not touched)
    return {
        "handwritten_recall": found / planted,
        "handwritten_precision": right / (right + wrong),
        "handwritten_planted": planted,
    }


def timed() -> Rows:
    """Microseconds, the best of several rounds."""
    texts = {name: (text * 4)[:CHARACTERS] for name, text in (("zh", ZH), ("en", EN))}
    texts["loaded"] = (LOADED * 2)[:CHARACTERS]
    rows: Rows = {}
    for name, text in texts.items():
        rows[f"find_us_{name}"] = _best(lambda text=text: find(text, RULES))
        rows[f"plain_us_{name}"] = _best(lambda text=text: _PLAIN.sub("#", text))
    plain = [float(str(rows[f"{what}_us_{name}"])) for what in ("find", "plain") for name in texts]
    rows["ratio"] = sum(plain[:3]) / sum(plain[3:])
    finds = Finds(RULES)
    rows["again_us"] = _best(lambda: finds(texts["loaded"]))
    lines = tuple(Line(role="user", text=f"{i} {texts['loaded']}") for i in range(10))
    prompt = Prompt(lines=lines, conversation="bench")
    mask = Mask(finds, b"k" * 32, "bench")
    sent = mask.prompt(prompt)
    rows["prompt_us"] = _best(lambda: Mask(finds, b"k" * 32, "bench").prompt(prompt))
    said = sent.lines[-1].text
    pieces = [said[i : i + 4] for i in range(0, len(said), 4)]

    def back() -> None:
        stream = mask.restoring()
        for piece in pieces:
            stream.feed(piece)
        stream.rest()

    rows["delta_us"] = _best(back) / len(pieces)
    return rows


def _best(what: Callable[[], object], rounds: int = 7, times: int = 100) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(times):
            what()
        best = min(best, (time.perf_counter() - began) / times)
    return best * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--each", type=int, default=50, help="sentences of each kind")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rows = judged(given.each) | by_hand() | timed()
    rows |= {"load_before": load, "cores": os.cpu_count() or 0}
    rounded = {
        name: round(value, 4) if isinstance(value, float) else value for name, value in rows.items()
    }
    rig.show("what masking finds and costs", rounded, as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
