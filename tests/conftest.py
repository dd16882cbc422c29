# SPDX-License-Identifier: AGPL-3.0-or-later
"""No test leaves a key among the owner's own."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The folder of the vaults' keys, for the programs that tests start too."""
    before = os.environ.get("HAOYA_KEYS")
    os.environ["HAOYA_KEYS"] = str(tmp_path_factory.mktemp("keys"))
    yield
    if before is None:
        del os.environ["HAOYA_KEYS"]
    else:
        os.environ["HAOYA_KEYS"] = before
