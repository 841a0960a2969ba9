"""What the tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import Typed

from lastbit.cli import exit_code_of


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type `lastbit ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        code = exit_code_of([str(word) for word in words])
        return code, *capsys.readouterr()

    return run
