# SPDX-License-Identifier: AGPL-3.0-or-later
"""What people ask for: the words, in Chinese and English, that name each deed."""

import re
from functools import lru_cache
from itertools import pairwise

from haoya.core.tool import Deed, ToolSpec
from haoya.policy.canonical import fold

WORDS: dict[Deed, str] = {
    "create": "create add make write draft set|up book schedule reserve plan prepare generate "
    "compile produce note|down put save new insert",
    "change": "change update adjust modify edit append add move reschedule postpone rename fix "
    "correct replace extend shift rewrite set|up set complete put insert invite",
    "delete": "delete remove cancel erase drop discard clear wipe trash unsubscribe uninstall "
    "get|rid",
    "send": "send mail email e-mail message reply answer respond forward tell notify inform post "
    "publish write invite contact text ping remind ask|him ask|her ask|them share announce",
    "share": "share invite add give|access grant send publish",
    "pay": "pay transfer wire send refund reimburse remit buy purchase order book reserve donate "
    "tip settle repay set|up schedule subscribe rent a|reservation a|booking a|payment a|purchase "
    "an|order a|transfer a|refund",
    "run": "run execute install build compile test launch start deploy",
    "fetch": "read open visit fetch browse look search find check download summarize summarise "
    "article website webpage page site link url get google",
}
WORDS_ZH: dict[Deed, str] = {
    "create": "创建 新建 建立 建一个 写 记 添加 加上 生成 安排 预约 预订 制作 准备 拟 存",
    "change": "改 更新 修改 调整 编辑 追加 添加 加到 加入 移到 推迟 提前 重命名 更正 替换 设",
    "delete": "删 移除 取消 清空 清除 去掉 丢掉 撤销 退订 卸载",
    "send": "发 寄 回复 回信 转发 告诉 通知 回答 写信 写邮件 留言 邀请 联系 提醒 转告 群发 公布",
    "share": "分享 共享 邀请 授权 发 给他看 给她看",
    "pay": "付 支付 转账 汇 打款 退款 退给 还钱 买 购 下单 订 预订 缴 充值 捐 租",
    "run": "运行 执行 跑 安装 编译 构建 测试 启动 部署",
    "fetch": "读 打开 访问 看 查 搜 找 下载 总结 网页 网站 链接 文章",
}
KINDS: dict[str, str] = {
    "calendar": "calendar event appointment meeting reminder agenda 日历 日程 会议 提醒 约会 行程",
    "drive": "file document doc docx sheet spreadsheet folder note 文件 文档 表格 清单 笔记 文件夹",
    "mail": "mail email e-mail letter 邮件 信",
    "chat": "chat message channel conversation 消息 群 频道 聊天",
    "web": "web website page post blog site 网页 网站 博客",
    "contacts": "contact contacts 联系人 通讯录",
    "tasks": "task todo to-do list reminder 任务 待办 清单",
}
"""What people call the things that tools make, by the label in `ToolSpec.writes`; a label that is
not here is its own word."""

_NOUNS = frozenset(
    "mail email e-mail message text post share order book transfer note link".split()
)
"""Words that name a thing as often as a deed; after one of `_BEFORE_NOUNS` they do not count."""

_BEFORE_NOUNS = frozenset(
    "the a an my this that these his her their your our its last recent unread first any each "
    "every all of from in by new old previous latest another".split()
)
_NOT = frozenset("not don't dont never without no".split())
_NOT_ZH = ("不要", "别", "不用", "不必", "勿", "没")
_CLAUSE = re.compile(r"[.,:;!?()]")
_WORD = re.compile(r"[a-z][a-z'-]*")


def deeds_of(spec: ToolSpec) -> frozenset[Deed]:
    """The deeds of which a request must name one before this tool goes about it unasked.

    Empty for a tool that only reads what is at home.
    """
    if spec.deed:
        return frozenset({spec.deed})
    found: set[Deed] = set()
    if "spend" in spec.effects:
        return frozenset({"pay"})
    if "exec" in spec.effects:
        return frozenset({"run"})
    if "send" in spec.effects:
        return frozenset({"send"})
    if "write" in spec.effects:
        found |= {"create", "change"}
    elif "net" in spec.effects:
        found.add("fetch")
    return frozenset(found)


def speaks_of(text: str, labels: frozenset[str]) -> bool:
    """Whether a text names one of these kinds of things.

    >>> calendar = frozenset({"calendar"})
    >>> speaks_of("put an event there", calendar), speaks_of("建个日程", calendar)
    (True, True)
    """
    whole = fold(text)
    said = set(_WORD.findall(whole))
    for label in labels:
        for form in KINDS.get(label, fold(label)).split():
            if form in whole if not form.isascii() else not said.isdisjoint({form, form + "s"}):
                return True
    return False


@lru_cache(maxsize=256)
def named(text: str) -> frozenset[Deed]:
    """The deeds that a request asks for.

    >>> sorted(named("Please email Bob the notes")), sorted(named("read the email from Bob"))
    (['send'], ['fetch'])
    >>> sorted(named("别发给他，删掉"))
    ['delete']
    """
    whole = fold(text)
    said, pairs = set[str](), set[str]()
    for clause in _CLAUSE.split(whole):
        words = _WORD.findall(clause)
        said |= {word for at, word in enumerate(words) if _counts(words, at)}
        pairs |= {f"{one}|{two}" for one, two in pairwise(words)}
    return frozenset(
        deed
        for deed in WORDS
        if _any(WORDS[deed].split(), said, pairs) or _zh(WORDS_ZH[deed], whole)
    )


def _any(forms: list[str], said: set[str], pairs: set[str]) -> bool:
    return any(
        form in pairs if "|" in form else not said.isdisjoint(_inflected(form)) for form in forms
    )


@lru_cache(maxsize=512)
def _inflected(word: str) -> frozenset[str]:
    """A verb's everyday forms."""
    stem = word.removesuffix("e")
    doubled = word + word[-1]
    past = word[:-1] + "ied" if word.endswith("y") else stem + "ed"
    return frozenset({word, word + "s", word + "es", past, stem + "ing", doubled + "ing"})


def _counts(words: list[str], at: int) -> bool:
    """Whether a word is meant as a deed: not denied, and not the name of a thing."""
    if not _NOT.isdisjoint(words[max(0, at - 2) : at]):
        return False
    word = words[at]
    if word in _NOUNS or word.removesuffix("s") in _NOUNS:
        return not (word.endswith("s") or (at > 0 and words[at - 1] in _BEFORE_NOUNS))
    return True


def _zh(forms: str, text: str) -> bool:
    for form in forms.split():
        at = text.find(form)
        while at >= 0:
            if not text[max(0, at - 3) : at].endswith(_NOT_ZH):
                return True
            at = text.find(form, at + 1)
    return False
