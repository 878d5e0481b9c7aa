"""Wrong settings are named in plain words; URLs in logs show no password."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.settings import SHIPPED_CATALOGUE, Settings, masked, read_settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://guest:secret@127.0.0.1:5672/", "amqp://guest:***@127.0.0.1:5672/"),
        ("redis://:secret@redis.example:6379/0", "redis://:***@redis.example:6379/0"),
        ("rediss://u:secret@h/0?ssl_cert_reqs=none", "rediss://u:***@h/0?ssl_cert_reqs=none"),
        ("unix://u:secret@/tmp/redis.sock?db=1", "unix://u:***@/tmp/redis.sock?db=1"),
        ("redis://u:se:c@ret@h:6379/0", "redis://u:***@h:6379/0"),
        ("redis://secret:secret@secret:6379/secret", "redis://secret:***@secret:6379/secret"),
        ("redis://u:secret@[::1]:6379/0", "redis://u:***@[::1]:6379/0"),
    ],
)
def test_the_password_and_nothing_else_is_hidden(url: str, expected: str) -> None:
    assert masked(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://user@host",
        "amqp://guest:@host/",
        "unix:///tmp/redis.sock",
        "http://qdrant:6333",
        "http://qdrant/a:b@c",
        "",
    ],
)
def test_a_url_without_password_stays_as_it_is(url: str) -> None:
    assert masked(url) == url


@settings(deadline=None)
@given(st.text(min_size=1).map(lambda text: quote(text, safe="")))
def test_any_quoted_password_is_hidden(password: str) -> None:
    assert masked(f"redis://user:{password}@host:6379/0") == "redis://user:***@host:6379/0"


@pytest.mark.parametrize("url", ["unix:///tmp/redis.sock?password=secret", "redis://host/0?db=1&password=secret"])
def test_a_password_in_the_query_is_hidden(url: str) -> None:
    assert "secret" not in masked(url)


@pytest.mark.parametrize(
    ("name", "url", "problem"),
    [
        ("REDIS_URL", "localhost:6379", "must start with one of redis://, rediss://, unix://"),
        ("REDIS_URL", "redis:/127.0.0.1:6379", "must start with one of redis://"),
        ("REDIS_URL", "", "must start with one of redis://"),
        ("REDIS_URL", "redis://h:port/0", "port"),
        ("REDIS_URL", "redis://h:6379/recsys", "number of a database"),
        ("BROKER_URL", "amqpp://u:secret@h", "must start with one of amqp://"),
        ("BROKER_URL", "u:secret@h", "must start with one of amqp://"),
        ("BROKER_URL", "amqp://h:99999/", "port"),
        ("BROKER_URL", "amqp://u:sec/secret@h/", "percent-encoded"),
        ("BROKER_URL", "amqp://u:secret#secret@h/", "percent-encoded"),
        ("BROKER_URL", "redis://u:1secret?@h/", "percent-encoded"),
        ("QDRANT_URL", "h:6333", "must start with one of http://, https://"),
        ("QDRANT_URL", "http://h:port", "port"),
        ("QDRANT_URL", "http://[::1", "is no URL"),
    ],
)
def test_a_url_with_a_typo(monkeypatch: pytest.MonkeyPatch, name: str, url: str, problem: str) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(SystemExit) as ended:
        read_settings()
    (line,) = str(ended.value).splitlines()
    assert line.startswith(f"{name}='")
    assert problem in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("REDIS_URL", "redis://h"),
        ("REDIS_URL", "rediss://u:p%40%2F@h:6380/15?ssl_ca_certs=/etc/ca.pem"),
        ("REDIS_URL", "redis://h/?password=a@b"),
        ("REDIS_URL", "unix:///tmp/redis.sock?db=1"),
        ("BROKER_URL", "unix://u:secret@/tmp/redis.sock"),
        ("BROKER_URL", "amqps://u:p%2F@[::1]:5671/a%2Fb?cafile=/etc/ca.pem"),
        ("QDRANT_URL", "https://h/path"),
        ("QDRANT_URL", ""),
    ],
)
def test_a_right_url(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    monkeypatch.setenv(name, url)
    assert getattr(read_settings(), name.lower()) == url


def test_every_wrong_setting_is_named_with_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORE", "much")
    monkeypatch.setenv("DIVERSITY", "2")
    monkeypatch.setenv("REFRESH_INTERVAL_S", "soon")
    with pytest.raises(SystemExit) as ended:
        read_settings()
    diversity, explore, interval = sorted(str(ended.value).splitlines())
    assert explore == "EXPLORE='much': must be auto, off or a share from 0 to 1"
    assert diversity.startswith("DIVERSITY='2': ")
    assert "less than or equal to 1" in diversity
    assert interval.startswith("REFRESH_INTERVAL_S='soon': ")
    assert "number" in interval


@pytest.mark.parametrize("explore", ["", "auto", "off", "0", "0.25", "1", "1e-3"])
def test_how_much_is_explored_is_a_word_or_a_share(monkeypatch: pytest.MonkeyPatch, explore: str) -> None:
    monkeypatch.setenv("EXPLORE", explore)
    assert read_settings().explore == explore


@pytest.mark.parametrize("explore", ["on", "Auto", "-0.1", "1.1", "nan", "inf", "30%", " "])
def test_what_is_no_share_is_refused(monkeypatch: pytest.MonkeyPatch, explore: str) -> None:
    monkeypatch.setenv("EXPLORE", explore)
    with pytest.raises(SystemExit) as ended:
        read_settings()
    assert str(ended.value) == f"EXPLORE={explore!r}: must be auto, off or a share from 0 to 1"


@pytest.mark.parametrize(("given", "diversity"), [("", None), ("0", 0.0), ("0.15", 0.15), ("1", 1.0)])
def test_no_diversity_is_that_of_the_profile(
    monkeypatch: pytest.MonkeyPatch, given: str, diversity: float | None
) -> None:
    monkeypatch.setenv("DIVERSITY", given)
    assert read_settings().diversity == diversity


def test_recommenders_are_taken_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is and what there is not is for those to say who make them."""
    for name, value in {"RECOMMENDER": "clever", "RANKING_PROFILE": "clever", "RANKING_WITHOUT": "luck"}.items():
        monkeypatch.setenv(name, value)
    recipe = read_settings().recipe
    assert (recipe["recommender"], recipe["profile"], recipe["without"]) == ("clever", "clever", "luck")


def test_all_that_lists_are_made_by_is_in_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "RECOMMENDER": "popular",
        "EXPLORE": "0.3",
        "DIVERSITY": "0.2",
        "RANKING_PROFILE": "discovery",
        "RANKING_WITHOUT": "noise",
        "HALF_LIFE_DAYS": "3",
        "TASTE_INTERVAL_S": "5",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert read_settings().recipe == {
        "recommender": "popular",
        "explore": "0.3",
        "diversity": 0.2,
        "profile": "discovery",
        "without": "noise",
        "half_life_days": 3.0,
        "taste_interval_s": 5.0,
    }


def test_what_is_given_need_not_be_right_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_PORT", "")
    assert read_settings(collector_port=5000).collector_port == 5000


def test_an_empty_variable_is_stronger_than_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who says that there is no Qdrant server does not get that of a system which runs beside."""
    file = tmp_path / "backends.env"
    file.write_text("QDRANT_URL=http://somewhere:6333\n")
    assert Settings(_env_file=file).qdrant_url == "http://somewhere:6333"
    monkeypatch.setenv("QDRANT_URL", "")
    assert Settings(_env_file=file).qdrant_url == ""


def test_a_file_of_another_account_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "backends.env"
    file.write_text("REDIS_URL=redis://somewhere\n")
    monkeypatch.setattr("recsys.settings.BACKENDS_FILE", file)
    assert read_settings().redis_url == "redis://somewhere"
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may read everything
    assert read_settings().redis_url == "redis://127.0.0.1:6379/0"


def test_right_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKING_PROFILE", "discovery")
    assert read_settings().ranking_profile == "discovery"


@pytest.mark.parametrize(
    ("listen_host", "local"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),  # on Linux what listens there may not hear 127.0.0.1
        ("::1", "[::1]"),
        ("10.0.0.7", "10.0.0.7"),
        ("localhost", "localhost"),
    ],
)
def test_services_are_reached_where_they_listen(listen_host: str, local: str) -> None:
    assert Settings(_env_file=None, listen_host=listen_host).local_host == local


def test_an_empty_catalogue_is_that_of_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOGUE", "")
    assert read_settings().catalogue == SHIPPED_CATALOGUE


def test_an_empty_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_HOST", "")
    with pytest.raises(SystemExit, match=r"^LISTEN_HOST='': String should have at least 1"):
        read_settings()
