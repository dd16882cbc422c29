# SPDX-License-Identifier: AGPL-3.0-or-later
"""`[egress]`: where requests may go that data or a model chose."""

import pydantic

from haoya.policy.egress import Rules, rule_of
from haoya.runtime.section import Section


class EgressSettings(Section):
    """`[egress]`: places beside the public ones that may be asked (`allow`), and places that nobody
    may ask (`deny`): `192.168.1.5:8080`, `10.0.0.0/8`, `wiki.corp.example`, `*.corp.example`.
    `proxy_resolves` lets the environment's proxy look names up where this machine cannot; what
    address it goes to is then the proxy's to judge."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    proxy_resolves: bool = False

    @pydantic.field_validator("allow", "deny")
    @classmethod
    def _rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            rule_of(text)
        return value

    def rules(self) -> Rules:
        """Both lists, read."""
        return Rules(
            allow=tuple(rule_of(text) for text in self.allow),
            deny=tuple(rule_of(text) for text in self.deny),
        )
