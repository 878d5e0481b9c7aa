"""English and Russian: the same texts, whole, chosen by the browser or by hand."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from recsys.settings import SHIPPED_CATALOGUE
from tests.servers import ROOT, System
from tests.webapp.conftest import settings_of, visited
from tests.webapp.test_pages import PAGES
from tests.webapp.visitor import JSON, Visitor
from webapp.catalogue import read_catalogue
from webapp.english import ENGLISH
from webapp.russian import RUSSIAN, RUSSIAN_GENRES

RU = {"Accept-Language": "ru-RU,ru;q=0.9,en;q=0.5"}
PLURALS = ("one", "few", "many", "other")
SAME_IN_BOTH = {"site"}
LATIN = re.compile(r"[A-Za-z]{3,}")


def names_in(template: str) -> set[str]:
    return {name for _, name, *_ in string.Formatter().parse(template) if name}


def base(key: str) -> str:
    stem, _, form = key.rpartition("_")
    return stem if form in PLURALS and f"{stem}_other" in ENGLISH else key


def test_both_languages_have_the_same_texts() -> None:
    assert {base(key) for key in ENGLISH} == {base(key) for key in RUSSIAN}


@pytest.mark.parametrize("stem", sorted({base(key) for key in ENGLISH} - ENGLISH.keys()))
def test_every_plural_form_exists(stem: str) -> None:
    assert {f"{stem}_{form}" for form in ("one", "other")} <= ENGLISH.keys()
    assert {f"{stem}_{form}" for form in PLURALS} <= RUSSIAN.keys()


@pytest.mark.parametrize("key", sorted(RUSSIAN))
def test_a_translation_is_one_and_names_the_same_values(key: str) -> None:
    english = ENGLISH.get(key) or ENGLISH[f"{base(key)}_other"]
    assert names_in(RUSSIAN[key]) == names_in(english)
    assert key in SAME_IN_BOTH or not RUSSIAN[key].isascii()


def test_every_genre_of_the_catalogue_has_a_name() -> None:
    assert set(read_catalogue(SHIPPED_CATALOGUE).genres) <= RUSSIAN_GENRES.keys()


def test_every_text_that_is_asked_for_exists() -> None:
    files = [path for kind in ("*.py", "*.html") for path in (ROOT / "webapp").rglob(kind)]
    content = "".join(path.read_text() for path in files)
    assert set(re.findall(r"""\b(?:t|text)\(\s*["']([a-z_0-9]+)["']\s*[,)]""", content)) <= ENGLISH.keys()
    for stem in re.findall(r"""\bcounted\(\s*["']([a-z_]+)["']""", content):
        assert f"{stem}_other" in ENGLISH


class TestChoice:
    @pytest.mark.parametrize(
        ("accepted", "language"), [("ru", "ru"), ("de,ru;q=0.5,en;q=0.1", "ru"), ("en,ru;q=0.9", "en"), ("zz", "en")]
    )
    def test_follows_the_browser(self, visitor: Visitor, accepted: str, language: str) -> None:
        assert f'<html lang="{language}">' in visitor.get("/search", headers={"Accept-Language": accepted}).text

    def test_can_be_switched_and_stays(self, visitor: Visitor) -> None:
        answer = visitor.get("/search?q=noir&lang=ru")
        assert answer.location == "/search?q=noir"
        assert '<html lang="ru">' in visitor.get("/status").text
        visitor.post("/new-person", {"csrf_token": visitor.token})
        assert '<html lang="ru">' in visitor.get("/status").text
        visitor.get("/status?lang=en")
        assert '<html lang="en">' in visitor.get("/status", headers=RU).text

    @pytest.mark.parametrize("wanted", ["", "de", "<script>", "x" * 3000])
    def test_an_unknown_one_changes_nothing(self, visitor: Visitor, wanted: str) -> None:
        answer = visitor.get("/search", query_string={"lang": wanted})
        assert answer.location == "/search"
        assert "language=" not in answer.headers.get("Set-Cookie", "")


def visible_text(page: str) -> str:
    """Without what is no language of ours: titles, descriptions, names, code and addresses."""
    page = re.sub(
        r'<h2><a.*?</h2>|<[^>]* lang="en".*?</p>|<kbd>.*?</kbd>|<code>.*?</code>|<strong class="id">.*?</strong>',
        "",
        page,
    )
    page = re.sub(r'<nav class="languages".*?</nav>|<td>[^<]*(?:redis|local)[^<]*</td>', "", page, flags=re.DOTALL)
    page = re.sub(r'(?:Вам понравилось:|aria-label="[^"]*:)[^"<]*', "", page)
    labels = " ".join(re.findall(r'\s(?:aria-label|title|placeholder|data-(?!source|home)[a-z-]+)="([^"]*)"', page))
    return labels + re.sub(r"<[^>]*>", " ", page)


@pytest.mark.parametrize("path", [*PAGES, "/nothing", "/?user_id=a/b"])
def test_no_english_is_left_on_a_russian_page(visitor: Visitor, path: str) -> None:
    allowed = {"Film", "bench", "IMDb", "IMAX", "Nosferatu", "night", "true", "yes", "like", "dislike", "hide"}
    found = set(LATIN.findall(visible_text(visitor.get(path, headers=RU).text)))
    assert found <= allowed


@pytest.mark.parametrize(
    ("likes", "said"), [(1, "1 понравился"), (2, "2 понравились"), (5, "5 понравились"), (21, "21 понравился")]
)
def test_russian_plurals(visitor: Visitor, likes: int, said: str) -> None:
    visitor.get("/reactions")
    for item in range(1, likes + 1):
        visitor.react(str(item), "like", headers=JSON)
    assert said in visitor.get("/", headers=RU).text


def test_messages_of_a_reaction_are_translated(visitor: Visitor) -> None:
    visitor.get("/reactions")
    assert visitor.react("2", "hide", headers={**JSON, **RU}).json == {"message": "Больше не покажем: Nosferatu."}


def test_a_catalogue_may_bring_russian_titles(system: System, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    row = "2,Solaris (1972),Drama,A planet.,Солярис (1972),Планета.\n"
    path.write_text(f"movieId,title,genres,description,title_ru,description_ru\n{row}", encoding="utf-8")
    with visited(settings_of(system, tmp_path, catalogue=path)) as visitor:
        assert "<h1>Солярис</h1>" in visitor.get("/item/2", headers=RU).text
        assert "Планета." in visitor.get("/search?q=солярис", headers=RU).text
        assert "<h1>Solaris</h1>" in visitor.get("/item/2").text
