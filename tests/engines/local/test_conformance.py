"""The local engine on fake nodes passes the suite of all engines."""

from __future__ import annotations

import pytest

from ..conformance import EngineConformance, Harness
from .kit import Lab


class TestLocalEngine(EngineConformance):
    @pytest.fixture
    async def harness(self, lab: Lab) -> Harness:
        return lab
