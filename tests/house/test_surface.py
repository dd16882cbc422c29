# SPDX-License-Identifier: AGPL-3.0-or-later
"""The public surface is written down and changes only on purpose."""

from tests.house.surface import PAGE, page


def test_the_page_of_the_core_shows_the_core_as_it_is() -> None:
    found = PAGE.read_text("utf-8") if PAGE.exists() else ""
    assert found == page(), "run `python -m tests.house.surface`, then look at what changed"
