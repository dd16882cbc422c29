# SPDX-License-Identifier: Apache-2.0
"""What the house itself says to people, in English and Chinese. Never the model's words."""

import re
from typing import Literal

Language = Literal["en", "zh"]

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")

PHRASES: dict[str, tuple[str, str]] = {
    "pairing": (
        "Hello! I don't know you yet. Your code is {code} (valid {minutes} minutes). "
        "My owner can let you in with: haoya pair approve {code}",
        "你好！我还不认识你。你的配对码是 {code}（{minutes} 分钟内有效）。"
        "请我的主人运行：haoya pair approve {code}",
    ),
    "paired": ("You are in. Nice to meet you!", "已通过，很高兴认识你！"),
    "pair-done": ("{name} may talk to me now.", "{name} 现在可以和我说话了。"),
    "pair-unknown": (
        "There is no waiting code {code}. `haoya pair list` shows those that wait.",
        "没有等待中的配对码 {code}。运行 `haoya pair list` 查看。",
    ),
    "ask": (
        "May I do this?\n{effect}\n{origins}Asked by {name}. Answer yes, no, or always (I do the "
        "same again here without asking, for {days} days). No answer within {hours} h is a no.",
        "可以这样做吗？\n{effect}\n{origins}由 {name} 提出。请回答“好”“不”或“一直允许”"
        "（{days} 天内在这个对话里再做同样的事，不再询问）。{hours} 小时内不回答视为不同意。",
    ),
    "ask-once": (
        "May I do this?\n{effect}\n{origins}Asked by {name}. Answer yes or no. No answer within "
        "{hours} h is a no.",
        "可以这样做吗？\n{effect}\n{origins}由 {name} 提出。请回答“好”或“不”。"
        "{hours} 小时内不回答视为不同意。",
    ),
    "ask-origins": ("Where this comes from:", "这些内容的来源："),
    "ask-why": ("Why I ask: {reason}", "询问的原因：{reason}"),
    "ask-read": (
        "I have read words of others before this: {sources}",
        "在此之前我读过别人写的内容：{sources}",
    ),
    "ask-closed": (
        "That question is closed already; nothing was done for this answer.",
        "这个问题已经结束了，这次回答没有执行任何操作。",
    ),
    "decided-always": (
        "Agreed, and from now on the same without asking. `haoya grants` lists and revokes this.",
        "好的，以后同样的事不再询问。运行 `haoya grants` 可查看和撤销。",
    ),
    "asked": (
        "I need my owner's permission for that and have asked.",
        "这需要我的主人同意，我已经去问了。",
    ),
    "decided-yes": ("Agreed, going on.", "好的，继续。"),
    "decided-no": ("All right, I leave it.", "好的，不做了。"),
    "no-model": (
        "I have no model to think with yet. Run `haoya setup`, or add a [models.main] section to "
        "the settings file.",
        "我还没有可用的模型。请运行 `haoya setup`，或在设置文件中添加 [models.main]。",
    ),
    "model-parked": (
        "My model is not usable: {reason}. `haoya doctor` says what to change.",
        "我的模型暂时不可用：{reason}。运行 `haoya doctor` 查看如何修复。",
    ),
    "model-down": (
        "I can't reach my model right now, so I can't answer. Your message is kept; send it "
        "again or say `haoya replay {number}` once it is back. ({reason})",
        "我现在连不上模型，无法回答。你的消息已保存；恢复后请再发一次，"
        "或运行 `haoya replay {number}`。（{reason}）",
    ),
    "model-refused": (
        "My model refused the request: {reason}. `haoya doctor` says what to change.",
        "模型拒绝了请求：{reason}。运行 `haoya doctor` 查看如何修复。",
    ),
    "kept-here": (
        "only models on this machine may answer here, and there is none; add one to `model` in "
        "[agent], or change `leave` in [policy]",
        "这里只允许使用本机上的模型，但没有可用的；请在 [agent] 的 model 中添加一个，"
        "或修改 [policy] 的 leave",
    ),
    "kept-own": (
        "only models on the owner's own machines may answer here, and there is none; add one to "
        "`model` in [agent], or change `leave` in [policy]",
        "这里只允许使用主人自己机器上的模型，但没有可用的；请在 [agent] 的 model 中添加一个，"
        "或修改 [policy] 的 leave",
    ),
    "budget-spent": (
        "the budget of {names} is spent; raise it in the settings, or add a model that costs "
        "nothing to `model` in [agent]",
        "{names} 的预算已用完；请在设置中提高预算，或在 [agent] 的 model 中添加一个免费的模型",
    ),
    "budget-hour": (
        "You have used up your tokens for this hour ({used} of {limit}). There are new ones at "
        "{time}; please send your message again then.",
        "你这一小时的额度已经用完（{used}/{limit} 个词元）。{time} 恢复，请到时再发一次。",
    ),
    "budget-day": (
        "You have used up your tokens for today ({used} of {limit}). There are new ones tomorrow "
        "at {time}; please send your message again then.",
        "你今天的额度已经用完（{used}/{limit} 个词元）。明天 {time} 恢复，请到时再发一次。",
    ),
    "empty": (
        "The model gave me no words for an answer. Please say it again, perhaps differently.",
        "模型没有给出回答。请再说一次，或换个说法。",
    ),
    "steps": (
        "I stopped after {steps} steps without reaching an end. Say “go on” to continue.",
        "我做了 {steps} 步还没有完成，先停下。说“继续”我就接着做。",
    ),
    "broken": (
        "Something went wrong inside me while I worked on this ({reason}). It is written down; "
        "`haoya why {number}` shows the details.",
        "处理这条消息时我内部出错了（{reason}）。已记录；运行 `haoya why {number}` 查看详情。",
    ),
}


def language_of(text: str) -> Language:
    """The language to answer in: `zh` where the words hold Chinese characters.

    >>> language_of("几点了?"), language_of("what time is it?")
    ('zh', 'en')
    """
    return "zh" if _HAN.search(text) else "en"


def phrase(key: str, language: Language, **values: object) -> str:
    """One of the house's own sentences with its values filled in; KeyError for an unknown key.

    >>> phrase("pair-done", "zh", name="小明")
    '小明 现在可以和我说话了。'
    """
    english, chinese = PHRASES[key]
    return (chinese if language == "zh" else english).format(**values)
