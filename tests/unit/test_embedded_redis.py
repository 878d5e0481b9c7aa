"""The private Redis: its folder, its program."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
import redis

from recsys.launch.embedded_redis import MAX_SOCKET_PATH_BYTES, find_redis_server, reserve
from recsys.launch.errors import LaunchError
from tests.servers import wait_until


class TestEmbeddedRedis:
    def test_the_folder_is_for_one_run_alone(self, tmp_path: Path) -> None:
        with (
            reserve(tmp_path) as redis,
            pytest.raises(LaunchError, match=rf"in use by another run_all.sh \(pid {os.getpid()}\)"),
            reserve(tmp_path),
        ):
            pass
        assert redis.url == f"unix://{tmp_path}/redis/redis.sock"
        with reserve(tmp_path):
            pass

    def test_a_long_path_gets_its_socket_elsewhere(self, tmp_path: Path) -> None:
        with reserve(tmp_path / ("long" * 30)) as redis:
            assert len(os.fsencode(redis.socket)) <= MAX_SOCKET_PATH_BYTES
            assert redis.socket.parent.stat().st_mode & 0o777 == 0o700
        assert not redis.socket.parent.exists()

    def test_no_place_for_the_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        long = tmp_path / ("long" * 30)
        long.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(long))
        with pytest.raises(LaunchError, match="names are too long: set TMPDIR to a shorter one"), reserve(long):
            pass
        assert not list(long.glob("recsys-redis-*"))

    def test_what_it_accepted_is_on_disk(self, tmp_path: Path) -> None:
        with reserve(tmp_path) as reserved:
            program = reserved.program(tmp_path / "redis.log")
            server = subprocess.Popen(program.command, cwd=program.cwd, stdout=subprocess.DEVNULL)
            try:
                wait_until(lambda: asyncio.run(reserved.answers()), 20, "the private Redis answers")
                with redis.Redis(unix_socket_path=str(reserved.socket)) as client:
                    assert client.config_get("appendonly") == {"appendonly": "yes"}
                    assert client.config_get("appendfsync") == {"appendfsync": "always"}
            finally:
                server.kill()
                server.wait()

    def test_a_url_with_odd_characters(self, tmp_path: Path) -> None:
        with reserve(tmp_path / "a b#c?") as redis:
            assert redis.url.endswith("/a%20b%23c%3F/redis/redis.sock")

    def test_no_server_to_be_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr("recsys.launch.embedded_redis._bundled", lambda: None)
        with pytest.raises(LaunchError, match=r"No redis-server 6\.2 or newer was found: install one"):
            find_redis_server(tmp_path)

    def test_an_older_server_would_overlook_the_files_of_a_newer_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = tmp_path / "redis-server"
        old.write_text("#!/bin/sh\necho Redis server v=6.2.14 sha=0:0\n")
        old.chmod(0o700)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
        monkeypatch.setattr("recsys.launch.embedded_redis._bundled", lambda: None)
        assert find_redis_server(tmp_path) == str(old)
        monkeypatch.setenv("PATH", str(tmp_path))
        (tmp_path / "appendonlydir").mkdir()
        with pytest.raises(LaunchError, match=r"No redis-server 7\.0 or newer"):
            find_redis_server(tmp_path)
