"""``python -m recsys.launch.extras``: files of requirements that the chosen recommenders need, not installed yet."""

from __future__ import annotations

import sys

from recsys.recommenders.extras import missing
from recsys.recommenders.recipe import read_recipe
from recsys.recommenders.registry import RecommenderError
from recsys.settings import read_settings


def main() -> None:
    try:
        print(*(extra.file for extra in missing(read_recipe(**read_settings().recipe))))
    except RecommenderError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
