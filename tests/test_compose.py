"""`docker-compose.yml` and what it builds: valid, complete, and with settings that exist."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema.validators
import pytest
import yaml

from contract.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"  # the specification's own
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_it_is_valid_against_the_compose_specification(compose):
    assert faults(compose) == []


def test_the_check_above_sees_a_misspelt_key(compose):
    wrong = {**compose, "services": {"api": {"imagge": "x"}}}

    assert any("imagge" in fault for fault in faults(wrong))


def faults(compose: Any) -> list[str]:
    """What the specification has against it, read by the draft of JSON Schema that the specification says it is written in."""
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker())
    return [error.message for error in validator.iter_errors(compose)]


def test_it_brings_every_part(compose):
    assert {"api", "worker", "valkey", "store"} <= compose["services"].keys()


@pytest.mark.parametrize("service", ["api", "worker"])
def test_it_sets_only_settings_that_exist(compose, service):
    known = {f"UNCLIP_{name.upper()}" for name in Settings.model_fields}

    assert compose["services"][service]["environment"].keys() <= known


@pytest.mark.parametrize("service", ["api", "worker"])
def test_a_process_may_take_longer_to_stop_than_its_drain(compose, service):
    grace = int(compose["services"][service]["stop_grace_period"].removesuffix("s"))

    assert grace > Settings.model_fields["drain_seconds"].default


@pytest.mark.parametrize("service", ["api", "worker"])
def test_a_container_that_cannot_be_written_to_has_room_for_files_that_come_in(compose, service):
    assert compose["services"][service]["read_only"] <= ("/tmp" in compose["services"][service].get("tmpfs", ()))


def test_every_volume_config_and_dependency_is_declared(compose):
    services = compose["services"].values()
    volumes = {volume.partition(":")[0] for service in services for volume in service.get("volumes", ())}
    configs = {config["source"] for service in services for config in service.get("configs", ())}
    needs = {name for service in services for name in service.get("depends_on", ())}

    assert (volumes, configs) == (compose["volumes"].keys(), compose["configs"].keys())
    assert needs <= compose["services"].keys()


@pytest.mark.parametrize("service", ["api", "worker"])
def test_the_dockerfile_has_the_targets(compose, service):
    assert f" AS {compose['services'][service]['build']['target']}\n" in DOCKERFILE


def test_what_the_dockerfile_copies_is_there():
    sources = [word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M) for word in line.split()[:-1]]

    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_api_image_holds_no_torch():
    assert "torch" not in locked("docker/api.lock")


@pytest.mark.parametrize("lock", ["docker/api.lock", "docker/worker.lock"])
def test_the_images_hold_the_versions_that_are_tested(lock):
    everything = locked("requirements.lock")

    assert {name: version for name, version in locked(lock).items() if everything.get(name) != version} == {}


@pytest.mark.parametrize("lock", ["requirements.lock", "docker/api.lock", "docker/worker.lock"])
def test_a_lock_names_no_registry(lock):
    assert "://" not in re.sub(r"#.*", "", (ROOT / lock).read_text())


def locked(lock: str) -> dict[str, str]:
    """Package → version (with its markers) of a lock file."""
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / lock).read_text(), re.M | re.I))
