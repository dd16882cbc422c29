# SPDX-License-Identifier: AGPL-3.0-or-later
"""Asking a person at the terminal; plain lines, so that input methods and screen readers work."""

import getpass
from collections.abc import Sequence

from haoya.cli.view import paint
from haoya.cli.words import say


def choose(question: str, options: Sequence[str], default: int = 0) -> int:
    """The index of the option chosen; an empty line takes the default."""
    print(paint(question, "bold"))
    for number, option in enumerate(options, 1):
        print(f"  {number}. {option}")
    while True:
        answer = input(f"[{default + 1}] › ").strip()
        if not answer:
            return default
        if answer.isdecimal() and 1 <= int(answer) <= len(options):
            return int(answer) - 1
        print(say("prompt.number", last=len(options)))


def words(question: str, default: str = "") -> str:
    """A line of words; an empty line takes the default, and without one is asked again."""
    while True:
        tail = f" [{default}]" if default else ""
        answer = input(f"{paint(question, 'bold')}{tail} › ").strip() or default
        if answer:
            return answer
        print(say("prompt.something"))


def hidden(question: str) -> str:
    """A secret, not shown while it is typed; may be empty."""
    return getpass.getpass(f"{paint(question, 'bold')} › ").strip()


def agreed(question: str, *, default: bool) -> bool:
    """Yes or no; an empty line takes the default."""
    marks = "Y/n" if default else "y/N"
    answer = input(f"{paint(question, 'bold')} [{marks}] › ").strip().lower()
    return default if not answer else answer in ("y", "yes", "是", "好", "对")
