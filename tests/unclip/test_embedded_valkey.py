"""The embedded queue: a real valkey-server."""

import os
import signal

import pytest
import redis

from contract.settings import Settings
from unclip.embedded_valkey import CONFIG_FILE, EmbeddedValkey
from unclip.errors import StartFailed


@pytest.fixture
def started():
    """Starts embedded servers, and ends them with the test."""
    servers: list[EmbeddedValkey] = []

    def start(folder, **settings) -> EmbeddedValkey:
        server = EmbeddedValkey(Settings(data_dir=folder, **settings))
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.child.kill()


def test_it_answers_at_its_url(tmp_path, started):
    server = started(tmp_path)

    with redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_it_refuses_who_does_not_know_the_password(tmp_path, started):
    server = started(tmp_path)

    with redis.Redis(port=server.port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_it_listens_on_this_machine_only(tmp_path, started):
    server = started(tmp_path)

    with redis.Redis.from_url(server.url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_its_password_is_in_no_command_line_and_no_readable_file(tmp_path, started):
    started(tmp_path)

    assert (tmp_path / "valkey" / CONFIG_FILE).stat().st_mode & 0o077 == 0


def test_what_was_written_survives_a_kill(tmp_path, started):
    first = started(tmp_path)
    with redis.Redis.from_url(first.url) as client:
        client.set("key", "value")
    assert first.child.pid is not None
    os.kill(first.child.pid, signal.SIGKILL)
    first.child.wait(5)

    second = started(tmp_path)

    with redis.Redis.from_url(second.url) as client:
        assert client.get("key") == b"value"


def test_it_refuses_rather_than_forgets_when_memory_is_full(tmp_path, started):
    server = started(tmp_path)

    with redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_folder_with_spaces_and_quotes_is_fine(tmp_path, started):
    server = started(tmp_path / 'my "pictures" here')

    assert (server.folder / "appendonlydir").is_dir()


def test_a_broken_queue_file_is_a_failed_start_with_the_servers_own_words(tmp_path, started):
    folder = tmp_path / "valkey" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("nonsense\n")

    with pytest.raises(StartFailed, match=r"valkey stopped while starting.*manifest"):
        started(tmp_path)


@pytest.mark.parametrize(("durable", "appendfsync"), [(False, "everysec"), (True, "always")])
def test_durable_means_on_disk_before_it_is_acknowledged(tmp_path, started, durable, appendfsync):
    server = started(tmp_path, durable=durable)

    with redis.Redis.from_url(server.url) as client:
        assert client.config_get("appendfsync") == {"appendfsync": appendfsync}
