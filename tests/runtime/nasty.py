# SPDX-License-Identifier: AGPL-3.0-or-later
"""Settings files as people, editors and broken disks write them."""

from typing import Any

from hypothesis import strategies as st

KEYS = (
    "agent policy api journal delivery channels models tools name model prompt max_steps gather "
    "owners verdicts ask_hours host port token durability repeat use enabled access tg irc main "
    "base_url api_key nick rooms clock home rules owner.send"
).split()
VALUES: list[Any] = [
    *("", "main", "haoya", "telegram", "irc", "openai", "script", "local", "clock", "nobody"),
    *("pairing", "open", "secret:none", "env:NO_SUCH", "127.0.0.1", "0.0.0.0", "full", "marked"),
    *(
        "ask",
        "tg:7",
        ":",
        "../../etc",
        "\x7f",
        "a\nb",
        "好",
        "http://127.0.0.1:1/v1",
        "(",
        "x" * 99,
    ),
    *(0, 1, -1, 10**6, 2**63, 0.5, float("inf"), float("nan"), True, False, [], {}),
]

plain = st.sampled_from(VALUES) | st.text(max_size=8) | st.integers() | st.booleans()
names = st.sampled_from(KEYS) | st.text(max_size=6)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
sections = st.dictionaries(names, values, max_size=5)
parts = st.dictionaries(names, sections | values, max_size=3)
tables = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("agent", "policy", "api", "journal", "delivery"), sections | values),
        **dict.fromkeys(("channels", "models", "tools"), parts | values),
        "unknown": values,
    },
)

FILES: dict[str, bytes] = {
    "empty": b"",
    "not text": bytes(range(256)),
    "nul": b"[agent]\x00\nname = 'x'",
    "utf-16": "[agent]\nname = 'x'\n".encode("utf-16"),
    "bom": b"\xef\xbb\xbf[agent]\nname = 'x'\n",
    "json": b'{"agent": {"name": "x"}}',
    "yaml": b"agent:\n  name: x\n",
    "open string": b'[agent]\nname = "x\n',
    "twice": b"[agent]\nname = 'x'\n[agent]\nname = 'y'\n",
    "deep": b"x = " + b"[" * 5000 + b"]" * 5000,
    "deep tables": b"a = " + b"{a=" * 3000 + b"1" + b"}" * 3000,
    "long number": b"[agent]\nmax_steps = " + b"9" * 5000,
    "long float": b"[policy]\nask_hours = 1" + b"0" * 400 + b".0",
    "bad date": b"x = 2024-02-31",
    "dates": b"[agent]\nname = 1979-05-27T07:32:00Z\n[channels.a]\nuse = 07:32:00\n",
    "all wrong": b"agent = 1\npolicy = []\napi = ''\njournal = 2.5\ndelivery = true\n"
    b"channels = 'x'\nmodels = [1]\ntools = 1\nnonsense = 1\n",
    "wrong values": b"[agent]\nname = ''\nmodel = 3\ntools = 'clock'\nmax_steps = 0\ngather = 'x'\n"
    b"[policy]\nowners = ['me']\nask_hours = -1\n[policy.verdicts]\n'owner.fly' = 'ask'\n"
    b"[journal]\ndurability = 'never'\n[delivery]\nrepeat = 2\n[api]\nport = 99999\n",
    "wrong parts": b"[channels.tg]\nuse = 'telegram'\n[channels.irc]\nuse = 'irc'\nport = 'x'\n"
    b"[channels.x]\nuse = 'carrier-pigeon'\n[channels.local]\nuse = 'local'\n[channels.y]\n"
    b"[models.main]\nuse = 'openai'\n[models.s]\nuse = 'script'\nrules = [{ match = '(' }]\n"
    b"[channels.\"a/b\"]\nuse = 'irc'\n[channels.\"a\\n\"]\nuse = 'telegram'\ntoken = '1:x'\n"
    b"[tools.clock]\nzone = 'Mars/Olympus'\n[channels.d]\nuse = 'local'\nhome = '/nowhere'\n",
    "missing secrets": b"[channels.tg]\nuse = 'telegram'\ntoken = 'secret:none'\n"
    b"[models.main]\nuse = 'openai'\nbase_url = 'http://127.0.0.1:1/v1'\nmodel = 'm'\n"
    b"api_key = 'env:HAOYA_NO_SUCH'\n[api]\ntoken = 'secret:gone'\n",
    "foreign tools": b"[agent]\ntools = ['clock', 'nothing', '../x', '']\nmodel = ['a', 'b', '']\n",
    "dead servers": b"[channels.irc]\nuse = 'irc'\nhost = '127.0.0.1'\nport = 1\nnick = 'h'\n"
    b"tls = false\n[channels.tg]\nuse = 'telegram'\ntoken = '1:x'\napi_root = 'http://127.0.0.1:1'\n"
    b"[models.main]\nuse = 'openai'\nbase_url = 'http://127.0.0.1:1/v1'\nmodel = 'm'\n",
}
