# SPDX-License-Identifier: AGPL-3.0-or-later
"""A bank account, a folder of files and the account's own data.

Of a list of past transactions the bank vouches for the numbers, amounts, dates and for whom the
owner paid (`recipient`); the sender and the subject of an incoming one are a stranger's.
Scheduled transactions are made by the owner alone. Files may come from anybody.
"""

from haoya.core.tool import ToolSpec

_LEDGER = {"id": "owner", "amount": "owner", "date": "owner", "recipient": "owner"}


def _spec(name: str, **facts: object) -> ToolSpec:
    return ToolSpec(name=name, purpose=name, **facts)  # pyright: ignore


FACTS = [
    _spec("get_iban", effects=frozenset({"read"}), author="owner", private=True),
    _spec("get_balance", effects=frozenset({"read"}), author="owner", private=True),
    _spec("get_user_info", effects=frozenset({"read"}), author="owner", private=True),
    _spec(
        "get_most_recent_transactions",
        effects=frozenset({"read"}),
        private=True,
        fields=_LEDGER,
        names=frozenset({"subject"}),
    ),
    _spec(
        "get_scheduled_transactions",
        effects=frozenset({"read"}),
        author="owner",
        private=True,
        names=frozenset({"subject"}),
    ),
    _spec("read_file", effects=frozenset({"read"}), private=True),
    _spec(
        "send_money",
        effects=frozenset({"spend"}),
        authority={"recipient": "who", "amount": "amount"},
        audience=frozenset({"recipient"}),
        author="owner",
    ),
    _spec(
        "schedule_transaction",
        effects=frozenset({"spend"}),
        authority={"recipient": "who", "amount": "amount"},
        audience=frozenset({"recipient"}),
        author="owner",
    ),
    _spec(
        "update_scheduled_transaction",
        effects=frozenset({"spend"}),
        deed="change",
        authority={"id": "which", "recipient": "who", "amount": "amount"},
        author="owner",
    ),
    _spec(
        "update_password",
        effects=frozenset({"write"}),
        deed="change",
        authority={"password": "which"},
        author="owner",
    ),
    _spec(
        "update_user_info",
        effects=frozenset({"write"}),
        deed="change",
        authority={"first_name": "who", "last_name": "who", "street": "where", "city": "where"},
        author="owner",
    ),
]
