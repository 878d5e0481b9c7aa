"""What the model store promises, in a folder and in what answers like S3."""

from __future__ import annotations

import os
import resource
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import obstore
import pytest

from recsys.stores.models import FIRST_LINE, ModelFiles
from recsys.stores.ports import CredentialsRefused, ModelDamaged, StoreMisconfigured, StoreUnavailable
from tests.s3 import S3Server

NOBODY: Final = 65534
FACTS: Final = {"rows": 1234, "seconds": 0.125, "full": True, "made_by": "als {'größe': 3}", "parts": [1, {"a": None}]}
BLOB: Final = bytes(range(256)) + b"\n{}\n" * 3
# All that a store is asked for.
CALLS: Final[dict[str, Callable[[ModelFiles], object]]] = {
    "write": lambda store: store.write(1, "als", FACTS, BLOB),
    "read": lambda store: store.read(1, "als", 1),
    "versions": lambda store: store.versions(1, "als"),
    "files": lambda store: store.files(1),
    "delete": lambda store: store.delete(1, "als", 1),
    "drop_all_but": lambda store: store.drop_all_but(2),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    s3.use(monkeypatch)
    return s3.new_bucket()


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is empty."""
    return str(tmp_path / "data" / "models") if request.param == "folder" else request.getfixturevalue("bucket")


@pytest.fixture
def store(place: str) -> ModelFiles:
    return ModelFiles.open(place)


def raw(store: ModelFiles, path: str) -> bytes:
    return obstore.get(store._store, path).bytes().to_bytes()


def overwrite(store: ModelFiles, path: str, body: bytes) -> None:
    obstore.put(store._store, path, body)


def kept(store: ModelFiles, epoch: int = 1) -> list[tuple[str, int]]:
    return [(file.name, file.version) for file in store.files(epoch)]


# Whole


def test_what_was_written_is_read(store: ModelFiles) -> None:
    version = store.write(1, "als", FACTS, BLOB)
    facts, blob = store.read(1, "als", version)
    assert blob == BLOB
    assert {name: facts[name] for name in FACTS} == FACTS


def test_what_was_written_is_there_for_another_process(place: str) -> None:
    version = ModelFiles.open(place).write(1, "als", FACTS, BLOB)
    assert ModelFiles.open(place).read(1, "als", version)[1] == BLOB


@pytest.mark.parametrize("blob", [b"", b"\n", b"x" * 3_000_000], ids=["nothing", "a line", "megabytes"])
def test_models_of_any_size(store: ModelFiles, blob: bytes) -> None:
    version = store.write(1, "als", {}, blob)
    assert store.read(1, "als", version)[1] == blob
    (file,) = store.files(1)
    assert file.size > len(blob)


def test_facts_that_were_read_may_be_written_again(store: ModelFiles) -> None:
    facts, blob = store.read(1, "als", store.write(1, "als", FACTS, BLOB))
    again = store.write(1, "als", facts | {"rows": 9}, blob + b"more")
    assert store.read(1, "als", again)[0]["rows"] == 9
    assert store.read(1, "als", again)[1] == blob + b"more"


def test_versions_count_up_by_epoch_and_name(store: ModelFiles) -> None:
    assert store.versions(1, "als") == []
    assert [store.write(1, "als", {}, b"%d" % n) for n in range(11)] == list(range(1, 12))
    assert store.write(1, "ease", {}, b"") == 1
    assert store.write(2, "als", {}, b"") == 1
    assert store.versions(1, "als") == list(range(1, 12))
    assert [store.read(1, "als", version)[1] for version in (1, 11)] == [b"0", b"10"]


def test_no_number_is_given_again_that_somebody_knows(store: ModelFiles) -> None:
    """The newest files may be lost while everybody still knows their versions."""
    assert store.write(1, "als", {}, b"", after=5) == 6
    assert store.write(1, "als", {}, b"", after=5) == 7
    assert store.write(1, "als", {}, b"") == 8
    assert store.versions(1, "als") == [6, 7, 8]


def test_a_writer_who_looked_too_early_gets_another_version(store: ModelFiles, place: str) -> None:
    """Of two at once: both have seen that there is none yet."""
    late = ModelFiles.open(place)
    real, looks = late._versions, [iter(())]
    late._versions = lambda *of: looks.pop() if looks else real(*of)  # type: ignore[method-assign]
    assert store.write(1, "als", {}, b"first") == 1
    assert late.write(1, "als", {}, b"second") == 2
    assert not looks
    assert [store.read(1, "als", version)[1] for version in (1, 2)] == [b"first", b"second"]


def test_writers_at_once_get_different_versions(tmp_path: Path) -> None:
    """Not in S3 here: what answers like it is not as strict as S3 itself."""
    writers, given = 8, {}
    together = threading.Barrier(writers)

    def write(number: int) -> None:
        store = ModelFiles.open(str(tmp_path))
        together.wait()
        given[number] = store.write(1, "als", {"number": number}, b"%d" % number * 1_000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = ModelFiles.open(str(tmp_path))
    assert sorted(given.values()) == store.versions(1, "als") == list(range(1, writers + 1))
    for number, version in given.items():
        assert store.read(1, "als", version)[1] == b"%d" % number * 1_000


@pytest.mark.parametrize(
    "name", ["module:Class", "a.package.module:Class", "a/b", "../als", "100%", "%2F", "two words", "größe", "a#1"]
)
def test_a_name_may_have_any_characters(store: ModelFiles, name: str) -> None:
    store.write(1, "als", {}, b"another")
    assert [store.write(1, name, {"of": name}, b"%d" % n) for n in range(2)] == [1, 2]
    assert store.versions(1, name) == [1, 2]
    assert store.read(1, name, 2)[0]["of"] == name
    assert sorted(kept(store)) == sorted([("als", 1), (name, 1), (name, 2)])
    store.delete(1, name, 1)
    assert store.versions(1, name) == [2]
    assert store.drop_all_but(2) == 2
    assert kept(store) == []


def test_a_name_that_another_one_begins_with_is_another_one(store: ModelFiles) -> None:
    store.write(1, "als", {}, b"")
    store.write(1, "als:rank", {}, b"")
    store.write(11, "als", {}, b"")
    assert kept(store) == [("als", 1), ("als:rank", 1)]
    assert store.versions(1, "als") == [1]


# Damaged


def refused(store: ModelFiles, version: int = 1) -> str:
    with pytest.raises(ModelDamaged) as told:
        store.read(1, "als", version)
    sentence = str(told.value)
    assert sentence.startswith(f"als@{version} in {store._where} is ")
    assert "\n" not in sentence
    return sentence


def test_a_version_that_is_not_there(store: ModelFiles) -> None:
    assert refused(store).endswith(" is not there")
    store.write(1, "als", {}, b"")
    assert refused(store, 2).endswith(" is not there")
    store.delete(1, "als", 1)
    assert refused(store).endswith(" is not there")


def test_whatever_is_cut_off_is_missed(store: ModelFiles) -> None:
    store.write(1, "als", FACTS, b"the model\n" * 3)
    whole = raw(store, "1/als/1.model")
    for length in range(len(whole)):
        overwrite(store, "1/als/1.model", whole[:length])
        refused(store)
    overwrite(store, "1/als/1.model", whole)
    assert store.read(1, "als", 1)[1] == b"the model\n" * 3


def test_every_byte_that_changes_is_noticed(store: ModelFiles) -> None:
    """Of the facts too: a model that says it is another one's is as bad as a wrong number in it."""
    store.write(1, "als", {"rows": 1234, "made_by": "als {}"}, b"the model\n" * 3)
    whole = raw(store, "1/als/1.model")
    for at in range(len(whole)):
        overwrite(store, "1/als/1.model", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        refused(store)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        FIRST_LINE,
        b"PK\x03\x04" + bytes(10_000),
        b"recsys model 2\n{}\n",
        FIRST_LINE + b"{}\n",
        FIRST_LINE + b"[1]\nblob",
        FIRST_LINE + b"null\nblob",
        FIRST_LINE + b'{"bytes": 4}\nblob',
        FIRST_LINE + b"\xff\xfe\nblob",
    ],
    ids=["empty", "lines", "one line", "zip", "of the future", "no facts", "list", "null", "no checksum", "no text"],
)
def test_something_else_is_refused(store: ModelFiles, body: bytes) -> None:
    overwrite(store, "1/als/1.model", body)
    refused(store)
    (file,) = store.files(1)
    assert (file.name, file.version, file.size) == ("als", 1, len(body))
    assert not file.facts or body.startswith(FIRST_LINE + b"{")
    assert store.write(1, "als", {}, b"") == 2, "its number is taken"


def test_what_follows_the_model_is_noticed(store: ModelFiles) -> None:
    store.write(1, "als", FACTS, BLOB)
    overwrite(store, "1/als/1.model", raw(store, "1/als/1.model") + b"\n")
    refused(store)


# All of them


def test_files_are_listed_by_name_and_version_with_their_facts(store: ModelFiles) -> None:
    assert list(store.files(1)) == []
    for number, name in enumerate(["ease", "als", "als", "own:Class"]):
        store.write(1, name, FACTS | {"number": number}, b"x" * 1_000)
    store.write(2, "als", {}, b"")
    overwrite(store, "1/als/2.model", b"")
    files = store.files(1)
    assert [(f.epoch, f.name, f.version) for f in files] == [
        (1, "als", 1),
        (1, "als", 2),
        (1, "ease", 1),
        (1, "own:Class", 1),
    ]
    assert [f.facts.get("number") for f in files] == [1, None, 0, 3]
    assert files[1].facts == {}
    assert [f.size for f in files] == [len(raw(store, path)) for path in paths(files)]


def paths(files: list[Any]) -> list[str]:
    return [f"{f.epoch}/{f.name.replace(':', '%3A')}/{f.version}.model" for f in files]


def test_a_head_that_holds_no_facts_lists_none(store: ModelFiles) -> None:
    """A damaged version may be large, and any bytes."""
    overwrite(store, "1/als/1.model", bytes(100_000))
    overwrite(store, "1/als/2.model", FIRST_LINE + b"x" * 100_000)
    assert [file.facts for file in store.files(1)] == [{}, {}]


def test_what_is_no_model_is_left_alone(store: ModelFiles) -> None:
    store.write(1, "als", {}, b"")
    for path in ("readme.txt", "1/als/1.bak", "1/als/one.model", "1/1.model", "x/als/1.model", "1/als/deep/1.model"):
        overwrite(store, path, b"somebody's own")
    assert kept(store) == [("als", 1)]
    assert store.versions(1, "als") == [1]
    assert store.drop_all_but(2) == 1
    assert raw(store, "1/als/1.bak") == b"somebody's own"


def test_to_delete_is_no_error_the_second_time(store: ModelFiles) -> None:
    for _ in range(3):
        store.write(1, "als", {}, b"")
    for _ in range(2):
        store.delete(1, "als", 2)
        assert store.versions(1, "als") == [1, 3]
    store.delete(1, "never heard of", 1)
    assert store.write(1, "als", {}, b"") == 4


def test_to_drop_all_but_one_epoch(store: ModelFiles) -> None:
    assert store.drop_all_but(7) == 0
    for epoch in (6, 7, 8, 70):
        for name in ("als", "own:Class"):
            store.write(epoch, name, {}, b"%d" % epoch)
    assert store.drop_all_but(7) == 6
    assert [kept(store, epoch) for epoch in (6, 8, 70)] == [[], [], []]
    assert [store.read(7, name, 1)[1] for name in ("als", "own:Class")] == [b"7", b"7"]
    assert store.drop_all_but(7) == 0


# S3 that does not do it


@each_call
def test_s3_that_is_away(s3: S3Server, bucket: str, call: Callable[[ModelFiles], object]) -> None:
    store = ModelFiles.open(bucket)
    store.write(1, "als", {}, b"before")
    with s3.away(), pytest.raises(StoreUnavailable) as told:
        call(store)
    assert str(told.value).startswith(f"{bucket}: ")
    assert s3.url in str(told.value)
    assert "\n" not in str(told.value)
    assert store.versions(1, "als") == [1], "it answers again"
    assert store.read(1, "als", 1)[1] == b"before"


@each_call
def test_a_bucket_that_does_not_exist(bucket: str, call: Callable[[ModelFiles], object]) -> None:
    """Not as if it were empty: nothing that is written would ever be there."""
    store = ModelFiles.open("s3://no-such-bucket/some/prefix")
    with pytest.raises(StoreMisconfigured) as told:
        call(store)
    assert str(told.value).startswith("s3://no-such-bucket/some/prefix cannot be used: ")
    assert "bucket does not exist" in str(told.value)
    assert "\n" not in str(told.value)


@each_call
def test_credentials_that_are_not_known(s3: S3Server, bucket: str, call: Callable[[ModelFiles], object]) -> None:
    store = ModelFiles.open(bucket)
    store.write(1, "als", {}, b"before")
    with s3.lets_in_nobody(), pytest.raises(CredentialsRefused) as told:
        call(store)
    assert str(told.value).startswith(f"{bucket} refused the credentials of the AWS variables: ")
    assert "\n" not in str(told.value)
    assert store.read(1, "als", 1)[1] == b"before"


# A folder that does not do it


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere, so root asks as nobody."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if was == 0:
            os.seteuid(was)


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder with a version in it, where nobody but its owner, if he, may write. Nobody reaches the usual folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        models = Path(folder, "models")
        ModelFiles.open(str(models)).write(1, "als", {}, b"before")
        inside = [models, *(path for path in models.rglob("*") if path.is_dir())]
        for path in inside:
            path.chmod(0o555)
        yield models
        for path in inside:
            path.chmod(0o755)


@pytest.mark.parametrize(
    "call",
    [CALLS["write"], CALLS["delete"], CALLS["drop_all_but"], lambda store: store.write(1, "new", {}, b"")],
    ids=["write", "delete", "drop_all_but", "write the first"],
)
def test_a_folder_of_somebody_else(locked: Path, call: Callable[[ModelFiles], object]) -> None:
    with as_nobody():
        store = ModelFiles.open(str(locked))
        with pytest.raises(StoreUnavailable, match=f"^{locked}: .*Permission denied"):
            call(store)
        assert store.read(1, "als", 1)[1] == b"before", "it may be read"
        assert [(file.name, file.version) for file in store.files(1)] == [("als", 1)]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "models"):
        with pytest.raises(StoreUnavailable, match=f"^{folder}: "):
            ModelFiles.open(str(folder))


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file becomes larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    store = ModelFiles.open(str(tmp_path))
    store.write(1, "als", {}, b"before")
    with full_disk(2_000_000), pytest.raises(StoreUnavailable, match=f"^{tmp_path}: "):
        store.write(1, "als", {}, bytes(4_000_000))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["1.model"]
    assert kept(store) == [("als", 1)]
    assert store.write(1, "als", {}, bytes(4_000_000)) == 2


def test_the_folder_of_nothing_is_taken_away_and_comes_back(tmp_path: Path) -> None:
    """Somebody deletes it while the store is open."""
    store = ModelFiles.open(str(tmp_path / "models"))
    (tmp_path / "models").rmdir()
    assert store.versions(1, "als") == []
    refused(store)
    assert store.write(1, "als", {}, BLOB) == 1
    assert store.read(1, "als", 1)[1] == BLOB
