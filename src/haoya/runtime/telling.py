# SPDX-License-Identifier: AGPL-3.0-or-later
"""Policy's reasons and sources as the owner reads them. Policy writes English; whoever is asked in
Chinese is told in Chinese."""

import re

from haoya.core.phrases import Language

_ZH: tuple[tuple[str, str], ...] = (
    (r"your words", "你说的话"),
    (r"what you approved in this run", "你在这一轮里同意过的内容"),
    (r"the tool's own default", "工具的默认值"),
    (r"shortly after the time you named", "紧接你说的时间之后"),
    (r"reckoned from the amounts you named", "由你说的数额算出"),
    (r"nowhere: the model chose it", "没有出处：是模型自己选的"),
    (r"the result of (.+)", "{0} 的结果"),
    (r"one of those in (.+)", "{0} 列出的其中一个"),
    (r"(.+) is not from you but from (.+)", "{0} 不是你说的，来自{1}"),
    (r"you did not ask for it, and the run has read (.+)", "你没有要求这样做，而且读过 {0}"),
    (r"you did not ask for it", "你没有要求这样做"),
    (r"(.+) leads to (.+), which is not from you", "{0} 指向 {1}，这不是你说的"),
    (
        r"what was read is private, and you did not name (.+)",
        "读到的内容是私密的，而你没有提到 {0}",
    ),
    (r"(owner|member|guest): (.+)", "{0}：{1}"),
    (r"read the workspace", "读取工作区"),
    (r"change files in the workspace", "修改工作区里的文件"),
    (r"reach the network", "访问网络"),
    (r"run a program", "运行程序"),
    (r"send a message to somebody", "给别人发消息"),
    (r"spend money", "花钱"),
    (r"owner", "主人"),
    (r"member", "成员"),
    (r"guest", "访客"),
)
_PATTERNS = tuple((re.compile(english, re.DOTALL), chinese) for english, chinese in _ZH)


def told(text: str, language: Language) -> str:
    """A reason or source in that language; what has no translation stays as it is.

    >>> told("the result of read_file", "zh"), told("your words", "en")
    ('read_file 的结果', 'your words')
    >>> told("owner: send a message to somebody; you did not ask for it", "zh")
    '主人：给别人发消息；你没有要求这样做'
    """
    if language != "zh":
        return text
    return "；".join(_told(one) for one in text.split("; "))


def _told(text: str) -> str:
    for pattern, chinese in _PATTERNS:
        if found := pattern.fullmatch(text):
            return chinese.format(*map(_told, found.groups()))
    return text
