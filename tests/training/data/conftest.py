"""The tiny packages as a fixture."""

from pathlib import Path

import pytest

from tests.training.data.tiny import write_tiny_packages


@pytest.fixture
def tiny_packages(tmp_path: Path) -> Path:
    """A folder of npm packages in small."""
    return write_tiny_packages(tmp_path / "packages")
