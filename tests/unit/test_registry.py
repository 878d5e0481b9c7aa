"""From the text of a setting to learners, and what is said of a text that names none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.recommenders.bandit.learner import Bandit
from recsys.recommenders.popularity import Popular
from recsys.recommenders.port import Resumable
from recsys.recommenders.random import Random
from recsys.recommenders.registry import BUILT_IN, RecommenderError, Spec, build, is_live, read_specs

FAST = settings(deadline=None, max_examples=100)
Write = Callable[[str], str]
NAMES = count()
METHODS = """
    def fit(self, data, previous, rng): ...
    def load(self, blob, items): ...
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module of this text where modules are found, and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    names: list[str] = []

    def module(text: str) -> str:
        names.append(f"somebodys_own_{next(NAMES)}")
        (tmp_path / f"{names[-1]}.py").write_text(dedent(text))
        return names[-1]

    yield module
    for name in names:
        sys.modules.pop(name, None)


def built(text: str, **defaults: Any) -> Any:
    (spec,) = read_specs(text)
    return build(spec, defaults)


def refusal(text: str) -> str:
    """The sentence that says what is wrong."""
    with pytest.raises(RecommenderError) as refused:
        built(text)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# texts


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("", []),
        (" , ,", []),
        ("popular", [("popular", {})]),
        ("bandit,popular", [("bandit", {}), ("popular", {})]),
        (" bandit , popular ", [("bandit", {}), ("popular", {})]),
        ("als:factors=32", [("als", {"factors": "32"})]),
        ("als:factors=32,iterations=8,popular", [("als", {"factors": "32", "iterations": "8"}), ("popular", {})]),
        ("als: factors = 32 , iterations=8", [("als", {"factors": "32", "iterations": "8"})]),
        ("my.own:Mine", [("my.own:Mine", {})]),
        ("my.own:Mine:depth=3,wide=1", [("my.own:Mine", {"depth": "3", "wide": "1"})]),
        ("my:Mine:depth=3,other:Other:depth=4", [("my:Mine", {"depth": "3"}), ("other:Other", {"depth": "4"})]),
        ("popular,my:Mine,depth=3,random", [("popular", {}), ("my:Mine", {"depth": "3"}), ("random", {})]),
        ("bandit:without=noise+taste,rank.noise=0.2", [("bandit", {"without": "noise+taste", "rank.noise": "0.2"})]),
        ("item-knn:most=20,als", [("item-knn", {"most": "20"}), ("als", {})]),
        ("als:path=", [("als", {"path": ""})]),
        ("als:where=a=b", [("als", {"where": "a=b"})]),
        ("als:factors=32,url=http://host:80/x", [("als", {"factors": "32", "url": "http://host:80/x"})]),
    ],
)  # fmt: skip
def test_a_text_names_sources_in_order_each_with_its_options(
    text: str, specs: list[tuple[str, dict[str, str]]]
) -> None:
    assert [(spec.name, dict(spec.options)) for spec in read_specs(text)] == specs


NAME = st.from_regex(r"[a-z_-]{1,6}(:[A-Z][a-z]{0,5})?", fullmatch=True)
OPTION = st.tuples(st.from_regex(r"[a-z._]{1,6}", fullmatch=True), st.from_regex(r"[a-z0-9.+-]{0,6}", fullmatch=True))
SPECS = st.lists(
    st.builds(Spec, NAME, st.lists(OPTION, max_size=3, unique_by=lambda option: option[0]).map(tuple)),
    max_size=4,
    unique_by=lambda spec: spec.name,
)  # fmt: skip


@FAST
@given(SPECS)
def test_a_source_as_text_is_read_as_the_same_source(specs: list[Spec]) -> None:
    assert read_specs(",".join(map(str, specs))) == tuple(specs)


@pytest.mark.parametrize(("text", "part"), [("depth=3", "depth=3"), (" ,depth=3,popular", "depth=3"), ("=3", "=3")])
def test_an_option_of_nobody_is_refused(text: str, part: str) -> None:
    with pytest.raises(RecommenderError, match=f"^'{part}' is an option, but no recommender stands before it$"):
        read_specs(text)


@pytest.mark.parametrize("text", ["popular,popular", "popular,random,popular:shrinkage=3", "my:Mine,my:Mine:depth=3"])
def test_a_source_that_is_named_twice_is_refused(text: str) -> None:
    """Its items would carry the same name, and its models lie in the same place."""
    with pytest.raises(RecommenderError, match=f"^{text.partition(',')[0]} is named twice$"):
        read_specs(text)


def test_options_are_added_where_there_are_none_of_that_name() -> None:
    spec = Spec("als", (("factors", "32"),)).having(factors="8", iterations="3")
    assert (spec.name, dict(spec.options)) == ("als", {"factors": "32", "iterations": "3"})


@pytest.mark.parametrize(("name", "own"), [*((name, False) for name in BUILT_IN), ("my:Mine", True), ("clever", True)])
def test_what_is_not_built_in_is_somebodys_own(name: str, own: bool) -> None:
    assert Spec(name).own == own


# learners


@pytest.mark.parametrize(("name", "kind"), [("bandit", Bandit), ("popular", Popular), ("random", Random)])
def test_those_that_are_built_in_follow_the_log(name: str, kind: type) -> None:
    learner = built(name)
    assert type(learner) is kind
    assert is_live(learner)
    assert isinstance(learner, Resumable)
    assert built(name) is not learner


def test_a_class_of_ones_own_is_found_on_the_path(write: Write) -> None:
    name = write(f"class Mine:{METHODS}")
    learner = built(f"{name}:Mine")
    assert (type(learner).__name__, type(learner).__module__) == ("Mine", name)
    assert not is_live(learner)


def test_one_with_a_method_that_takes_rows_follows_the_log(write: Write) -> None:
    name = write(f"class Mine:{METHODS}    def add(self, rows): ...\n")
    assert is_live(built(f"{name}:Mine"))


OPTIONS = f"""
    from __future__ import annotations
    from pathlib import Path
    from typing import Literal

    class Mine:
        def __init__(
            self, depth: int = 2, rate: float = 0.5, deep: bool = False, name: str = "x", limit: float | None = None,
            where: Path = Path("."), kind: Literal["a", "b"] = "a", old=3, *, only: int = 1, bare="y"
        ) -> None:
            self.got = dict(
                depth=depth, rate=rate, deep=deep, name=name, limit=limit, where=where, kind=kind, old=old, only=only,
                bare=bare,
            )
    {METHODS.replace(chr(10), chr(10) + "    ")}
"""


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("depth=7", 7),
        ("depth=-7", -7),
        ("rate=2", 2.0),
        ("rate=1e-3", 1e-3),
        ("deep=true", True),
        ("deep=0", False),
        ("name=7", "7"),
        ("name=", ""),
        ("limit=7", 7.0),
        ("where=a/b", Path("a/b")),
        ("kind=b", "b"),
        ("old=7", 7),
        ("only=7", 7),
        ("bare=7", "7"),
    ],
)
def test_options_are_what_the_constructor_says_of_them(write: Write, option: str, value: object) -> None:
    """By its annotations, or else by the kind of the default."""
    got = built(f"{write(OPTIONS)}:Mine:{option}").got
    name = option.partition("=")[0]
    assert (got.pop(name), type(value)) == (value, type(value))
    others = built(f"{write(OPTIONS)}:Mine").got
    others.pop(name)
    assert got == others


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("depth=2.5", "depth=2.5: Input should be a valid integer"),
        ("depth=deep", "depth=deep: Input should be a valid integer"),
        ("depth=", "depth=: Input should be a valid integer"),
        ("rate=much", "rate=much: Input should be a valid number"),
        ("deep=maybe", "deep=maybe: Input should be a valid boolean"),
        ("kind=c", "kind=c: Input should be 'a' or 'b'"),
        ("old=new", "old=new: Input should be a valid integer"),
        ("dept=3", "has no option 'dept'; it takes depth, rate, deep, name, limit, where, kind, old, only, bare"),
        ("self=3", "has no option 'self'"),
        ("=3", "has no option ''"),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_is_told_with_what_can(write: Write, option: str, message: str) -> None:
    name = write(OPTIONS)
    sentence = refusal(f"{name}:Mine:{option}")
    assert sentence.startswith(f"{name}:Mine:{option}: ")
    assert message in sentence


def test_one_without_options_says_so() -> None:
    assert refusal("random:depth=3") == "random:depth=3: random has no option 'depth'; it takes none"


def test_an_option_without_annotation_or_default_is_text(write: Write) -> None:
    name = write(f"class Mine:\n    def __init__(self, depth):\n        self.depth = depth\n{METHODS}")
    assert built(f"{name}:Mine:depth=7").depth == "7"


def test_one_may_take_options_of_any_name(write: Write) -> None:
    text = "class Mine:\n    def __init__(self, depth: int = 1, **others: float):\n        self.got = depth, others\n"
    name = write(text + METHODS)
    assert built(f"{name}:Mine:rank.noise=2,depth=3,x=0.5").got == (3, {"rank.noise": 2.0, "x": 0.5})
    assert "x=much: Input should be a valid number" in refusal(f"{name}:Mine:x=much")


def test_an_option_that_is_given_twice_is_the_last_one() -> None:
    assert built("popular:half_life_days=2,half_life_days=3")._half_life_days == 3.0


def test_options_that_must_be_given_are_missed(write: Write) -> None:
    name = write(f"class Mine:\n    def __init__(self, depth: int):\n        pass\n{METHODS}")
    sentence = refusal(f"{name}:Mine")
    assert sentence.startswith(f"{name}:Mine: ")
    assert "'depth'" in sentence


def test_what_the_constructor_refuses_is_told_in_its_words(write: Write) -> None:
    assert refusal("popular:shrinkage=0") == "popular:shrinkage=0: shrinkage must be above 0"
    assert refusal("bandit:without=luck").startswith("bandit:without=luck: there is no component 'luck'")
    assert refusal("bandit:rank.luck=1").startswith("bandit:rank.luck=1: there is no constant 'rank.luck'")


def test_defaults_are_for_those_that_have_such_an_option(write: Write) -> None:
    name = write(f"class Mine:\n    def __init__(self, depth: int = 1):\n        self.depth = depth\n{METHODS}")
    assert built(f"{name}:Mine", depth=5, rate=3.0).depth == 5
    assert built(f"{name}:Mine:depth=7", depth=5).depth == 7
    assert built("popular", half_life_days=3.0, taste_interval_s=1.0)._half_life_days == 3.0
    assert type(built("random", half_life_days=3.0)) is Random


# what cannot be had


@pytest.mark.parametrize("name", ["clever", "Popular", "populär", "bandit.learner"])
def test_a_name_there_is_not_is_refused_with_the_choices(name: str) -> None:
    sentence = refusal(name)
    assert sentence.startswith(f"there is no recommender {name!r}: choose from ")
    assert all(known in sentence for known in (*BUILT_IN, "module:Class"))


def test_a_module_there_is_not_is_named() -> None:
    sentence = refusal("no_such_module_here:Mine")
    assert sentence.startswith("no_such_module_here:Mine cannot be imported: ModuleNotFoundError: ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_module_here", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("class Mine(", "SyntaxError: "),
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(write: Write, text: str, why: str) -> None:
    name = write(text)
    assert refusal(f"{name}:Mine").startswith(f"{name}:Mine cannot be imported: {why}")


@pytest.mark.parametrize("class_name", ["Other", "mine", "", "make", "Mine.Inner", "VALUE"])
def test_a_class_there_is_not_is_named_with_its_file(write: Write, class_name: str) -> None:
    name = write(f"class Mine:{METHODS}\ndef make():\n    return Mine()\n\nVALUE = 7\n")
    sentence = refusal(f"{name}:{class_name}")
    assert sentence.startswith(f"{name}:{class_name}: there is no class {class_name!r} in ")
    assert sentence.endswith(f"{name}.py")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("class Mine: ...", "fit and load"),
        ("class Mine:\n    def fit(self, data, previous, rng): ...", "load"),
        ("class Mine:\n    fit = load = 7", "fit and load"),
    ],
)
def test_a_class_that_is_no_learner_is_told_what_it_lacks(write: Write, text: str, missing: str) -> None:
    name = write(text)
    assert refusal(f"{name}:Mine") == f"{name}:Mine lacks the method {missing}: see docs/own-recommender.md"


@pytest.mark.parametrize(
    "text", ["als:regularization=nan", "als:like=inf", "item-knn:shrinkage=nan", "popular:shrinkage=-inf"]
)
def test_numbers_that_are_none_are_refused(text: str) -> None:
    (spec,) = read_specs(text)
    with pytest.raises(RecommenderError, match=r"must be a finite number$"):
        build(spec)


def test_constants_of_the_bandit_are_numbers() -> None:
    (spec,) = read_specs("bandit:rank.noise=nan")
    with pytest.raises(RecommenderError, match=r"rank\.noise must be a number, not 'nan'$"):
        build(spec)
