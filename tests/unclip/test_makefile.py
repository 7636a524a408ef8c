"""`make` picks a Python that runs and is in range."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def made_with(path: Path) -> str:
    for tool in ("sh", "make", "awk", "env"):
        found = shutil.which(tool)
        assert found is not None
        (path / tool).symlink_to(found)
    command = [str(path / "make"), "-n", "setup"]
    return subprocess.run(command, cwd=ROOT, env={"PATH": str(path)}, capture_output=True, text=True, check=True).stdout


def program(path: Path, text: str) -> None:
    path.write_text(f"#!{shutil.which('sh')}\n{text}\n")
    path.chmod(0o755)


def test_a_python_that_does_not_run_is_passed_over(tmp_path):
    program(tmp_path / "python3", "exit 127")
    program(tmp_path / "python3.11", f'exec {sys.executable} "$@"')

    assert "python3.11 scripts/setup.py" in made_with(tmp_path)


def test_a_python_out_of_range_is_passed_over(tmp_path):
    program(tmp_path / "python3", f'exec {sys.executable} -c "raise SystemExit(True)"')
    program(tmp_path / "python3.11", f'exec {sys.executable} "$@"')

    assert "python3.11 scripts/setup.py" in made_with(tmp_path)


def test_no_python_at_all_is_told_with_the_way_out(tmp_path):
    assert "python3-venv" in made_with(tmp_path)
