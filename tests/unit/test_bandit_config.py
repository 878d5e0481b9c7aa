"""Constants of the bandit by name, and what it is without its components."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recsys.recommenders.bandit.config import COMPONENTS, BanditConfig, configured
from recsys.recommenders.bandit.learner import Bandit
from recsys.recommenders.registry import build, read_specs

WHOLE = BanditConfig()


def test_without_anything_it_is_the_whole() -> None:
    assert configured("", {}) == WHOLE


@pytest.mark.parametrize("without", COMPONENTS)
def test_every_component_can_be_left_out(without: str) -> None:
    assert configured(without, {}) == COMPONENTS[without](WHOLE) != WHOLE


def test_components_are_left_out_together_in_any_order() -> None:
    expected = replace(WHOLE, rank=replace(WHOLE.rank, noise=0.0, taste=False), factors=False)
    for without in ("noise+taste+factors", "factors+noise+taste", "+noise++taste+factors+"):
        assert configured(without, {}) == expected


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("explore.looks", "0.25", 0.25),
        ("explore.looks", 0.25, 0.25),
        ("rank.pool", "300", 300),
        ("rank.taste", "0", False),
        ("taste.factors", "4", 4),
        ("posterior.rarity", "1e-1", 0.1),
    ],
)
def test_every_constant_has_a_name(name: str, value: str | float, found: object) -> None:
    config = configured("", {name: value})
    part, _, constant = name.partition(".")
    changed = getattr(getattr(config, part), constant)
    assert (changed, type(changed)) == (found, type(found))
    assert replace(config, **{part: getattr(WHOLE, part)}) == WHOLE, "nothing else changes"


def test_constants_of_several_parts_change_together() -> None:
    config = configured("noise+factors", {"explore.looks": "0.25", "rank.pool": "300", "rank.noise": "0.5"})
    assert config == replace(
        WHOLE,
        explore=replace(WHOLE.explore, looks=0.25),
        rank=replace(WHOLE.rank, noise=0.0, pool=300),
        factors=False,
    )


def test_what_is_left_out_is_left_out_whatever_its_constants_are() -> None:
    assert configured("looks", {"explore.looks": "0.3", "explore.interleave": "0.9"}) == configured("looks", {})


@pytest.mark.parametrize(
    "name", ["explore.luck", "luck.looks", "looks", "explore", "", "factors", "explore.looks.more"]
)
def test_a_constant_there_is_not_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ValueError, match="there is no constant") as refused:
        configured("", {name: "1"})
    assert repr(name) in str(refused.value)
    assert all(known in str(refused.value) for known in ("explore.looks", "rank.pool", "taste.factors"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rank.noise", "much", "rank.noise must be a number, not 'much'"),
        ("rank.noise", "", "rank.noise must be a number, not ''"),
        ("rank.pool", "2.5", "rank.pool must be a whole number, not '2.5'"),
        ("rank.pool", "many", "rank.pool must be a whole number, not 'many'"),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        configured("", {name: value})
    assert str(refused.value) == message


@pytest.mark.parametrize("without", ["nose", "noise+nose", "noise,looks", " noise"])
def test_a_component_there_is_not_is_refused_with_the_choices(without: str) -> None:
    with pytest.raises(ValueError, match="there is no component") as refused:
        configured(without, {})
    assert all(component in str(refused.value) for component in COMPONENTS)


def test_all_of_these_are_options_of_the_recommender() -> None:
    (spec,) = read_specs("bandit:without=noise+looks,half_life_days=3,taste_interval_s=5,rank.pool=300")
    bandit = build(spec)
    assert isinstance(bandit, Bandit)
    assert bandit._config == configured("noise+looks", {"rank.pool": 300})
    assert (bandit._half_life_days, bandit._taste_interval_s) == (3.0, 5.0)
