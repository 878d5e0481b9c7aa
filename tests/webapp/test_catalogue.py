"""Catalogue files, good and bad, and the search in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from recsys.catalogue_csv import CatalogueError
from recsys.settings import SHIPPED_CATALOGUE, Settings
from tests.servers import free_port
from tests.webapp.conftest import visited
from webapp.catalogue import Film, read_catalogue, split_title


class TestCatalogue:
    def read(self, tmp_path: Path, content: str | bytes) -> list[Film]:
        path = tmp_path / "films.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(read_catalogue(path).films.values())

    def test_shipped(self) -> None:
        films = read_catalogue(SHIPPED_CATALOGUE).films
        assert len(films) == 500
        assert all(film.year and film.genres and film.description for film in films.values())

    def test_bad_rows_are_skipped(self, tmp_path: Path) -> None:
        bad = 'a/b,B,Drama\n3,too,many,fields\n4\n\n5,,Drama\n6,"x\ny",Drama\n'
        rows = f"movieId,title,genres\n1,A (2000),Drama|Drama\n{bad}"
        assert self.read(tmp_path, rows) == [Film("1", "A", "2000", ("Drama",))]

    def test_columns_in_any_order_and_a_byte_order_mark(self, tmp_path: Path) -> None:
        rows = "\ufeffgenres,extra,title,movieId\n(no genres listed),x,A,1\n"
        assert self.read(tmp_path, rows) == [Film("1", "A")]

    @pytest.mark.parametrize("content", [b"", b"movieId,title\n", b"\xff\xfe", b'movieId,title,genres\n1,"\0'])
    def test_other_files_are_refused(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(CatalogueError):
            films = self.read(tmp_path, content)
            raise CatalogueError if not films else AssertionError(films)

    def test_bad_rows_are_named_by_line(self, tmp_path: Path) -> None:
        with structlog.testing.capture_logs() as logged:
            self.read(tmp_path, "movieId,title,genres\n1,A,Drama\n2,B\n3,,Drama\n")
        assert [(entry["line"], entry["problem"]) for entry in logged] == [
            (3, "2 fields instead of 3"),
            (4, "no title"),
        ]

    def test_a_folder_of_movielens_with_links(self, tmp_path: Path) -> None:
        (tmp_path / "movies.csv").write_text("movieId,title,genres\n1,Toy Story (1995),Comedy\n2,B,Drama\n3,C,Drama\n")
        (tmp_path / "links.csv").write_text("movieId,imdbId,tmdbId\n1,0114709,862\n2,javascript:,1\n9,1,1\n")
        films = read_catalogue(tmp_path).films
        assert [film.imdb for film in films.values()] == ["0114709", "", ""]
        assert read_catalogue(tmp_path / "movies.csv").films == films
        settings = Settings(_env_file=None, data_dir=tmp_path, catalogue=tmp_path, collector_port=free_port())  # type: ignore[call-arg]
        with visited(settings) as visitor:
            assert (
                'href="https://www.imdb.com/title/tt0114709/" rel="noopener noreferrer"' in visitor.get("/item/1").text
            )
            assert "imdb" not in visitor.get("/item/2").text

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(CatalogueError, match="cannot be read"):
            read_catalogue(tmp_path / "none.csv")

    @pytest.mark.parametrize(
        ("text", "title", "year"),
        [
            ("Matrix, The (1999)", "The Matrix", "1999"),
            ("Avventura, L' (Adventure, The) (1960)", "L'Avventura (Adventure, The)", "1960"),
            ("Lost (2004-2010)", "Lost", "2004"),
            ("2001: A Space Odyssey", "2001: A Space Odyssey", ""),
        ],
    )
    def test_titles(self, text: str, title: str, year: str) -> None:
        assert split_title(text) == (title, year)

    def test_search_ignores_case_accents_and_signs(self) -> None:
        catalogue = read_catalogue(SHIPPED_CATALOGUE)
        assert "Le Samouraï" in [film.title for film in catalogue.search("LE samourai!", 5)]
        assert "Singin' in the Rain" in [film.title for film in catalogue.search("singin’ rain", 5)]  # noqa: RUF001
