# SPDX-License-Identifier: AGPL-3.0-or-later
"""How many tokens a prompt may have, for those who may not look into the agent's room."""

from haoya.agent.budget import line_tokens, tools_tokens
from haoya.core.tool import Prompt


def prompt_tokens(prompt: Prompt) -> int:
    """Our own estimate, a little too high; no model is asked.

    >>> from haoya.core.tool import Line
    >>> prompt_tokens(Prompt(lines=(Line(role="user", text="hello world"),)))
    8
    """
    return sum(line_tokens(line) for line in prompt.lines) + tools_tokens(prompt.tools)
