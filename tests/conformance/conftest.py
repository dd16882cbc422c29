# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keeps the outcome of each case and writes them down at the end of the run."""

from collections.abc import Iterator

import pytest

from tests.conformance.matrix import Outcomes, outcomes_path, write_outcomes


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    kept: Outcomes = {}
    yield kept
    if kept:
        write_outcomes(outcomes_path(request.config.rootpath), kept)
