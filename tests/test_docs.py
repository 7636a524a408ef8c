"""Docs and code in step: every setting is documented, every name that the docs use exists."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic_core import PydanticUndefined

from contract.settings import Settings
from service.app import create_app
from tests.conftest import MODEL_INDEX
from unclip.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# Not a setting of the processes: where `make setup` keeps the shared packages.
OTHER_VARIABLES = {"UNCLIP_CACHE_DIR"}
# docker/entrypoint.sh reads these from files.
OTHER_VARIABLES |= {f"{name}_FILE" for name in re.findall(r"UNCLIP_\w+", (ROOT / "docker" / "entrypoint.sh").read_text())}


def test_every_setting_is_in_the_table_as_it_is_in_the_code():
    text = (ROOT / "docs" / "configuration.md").read_text()
    documented = re.findall(r"^\| `UNCLIP_[A-Z_]+` \|[^|]*\|[^|]*\|$", text, re.M)

    assert documented == [row(name) for name in Settings.model_fields]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_variable_that_is_mentioned_exists(page):
    known = {variable(name) for name in Settings.model_fields} | OTHER_VARIABLES
    mentioned = set(re.findall(r"UNCLIP_[A-Z_]*[A-Z]", page.read_text())) - {"UNCLIP_"}

    assert mentioned - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_inside_the_repository_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    inside = [link for link in links if "://" not in link]

    assert [link for link in inside if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_gap_is_left_open(page):
    assert re.findall(r"\[\[.*?\]\]", page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_make_target_that_is_mentioned_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    mentioned = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.M))

    assert mentioned - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_that_is_mentioned_exists_with_its_options(page):
    unknown = [line for line in commands_in(page.read_text()) if not command_exists(line)]

    assert unknown == []


@pytest.fixture(scope="module")
def routes(tmp_path_factory) -> set[str]:
    """Every route, its parameters without their names."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX))
    settings = Settings(data_dir=folder, model_dir=folder, redis_url="redis://127.0.0.1:9/0")
    return {re.sub(r"\{.*?\}", "{}", path) for path in create_app(settings).openapi()["paths"]} | {"/docs"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_route_that_is_mentioned_exists(page, routes):
    mentioned = re.findall(r"(?:GET|POST|DELETE) (/[a-z0-9/_{}]+)", page.read_text())

    assert {re.sub(r"\{.*?\}", "{}", path) for path in mentioned} - routes == set()


def row(name: str) -> str:
    """The line of docs/configuration.md for a setting."""
    field = Settings.model_fields[name]
    default = "" if field.default in (None, PydanticUndefined) else f"`{field.default}`"
    return f"| `{variable(name)}` | {default} | {field.description} |"


def variable(name: str) -> str:
    return f"UNCLIP_{name.upper()}"


def commands_in(text: str) -> list[str]:
    """`unclip …` in backquotes, and in code blocks at the start of a line, with or without variables and folder before it."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S))
    return re.findall(r"`(unclip [a-z][^`\n]*)`", text) + re.findall(
        r"^(?:\w+=\S+ )*(?:\.venv/bin/)?(unclip [a-z].*)$", blocks, re.M
    )


def command_exists(line: str) -> bool:
    words = line.split("#", maxsplit=1)[0].split()[1:]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        name = words.pop(0)
        if name not in command.commands:
            return False
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    return all(word.split("=")[0] in options for word in words if word.startswith("--"))
