# SPDX-License-Identifier: AGPL-3.0-or-later
"""The public surface is written down and changes only on purpose."""

from tests.house import plugins
from tests.house.surface import PAGE, page


def test_the_page_of_the_core_shows_the_core_as_it_is() -> None:
    found = PAGE.read_text("utf-8") if PAGE.exists() else ""
    assert found == page(), "run `python -m tests.house.surface`, then look at what changed"


def test_the_page_of_the_plugins_shows_their_settings() -> None:
    found = plugins.PAGE.read_text("utf-8") if plugins.PAGE.exists() else ""
    assert found == plugins.page(), "run `python -m tests.house.plugins`, then look at it"


def test_every_setting_is_explained() -> None:
    for line in plugins.page().splitlines():
        assert not line.endswith("|  |"), f"no words for {line}"
