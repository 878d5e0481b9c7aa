"""``python -m webapp``"""

import sys

from recsys.catalogue_csv import CatalogueError
from recsys.logs import configure_logs
from recsys.settings import read_settings
from webapp.app import create_app
from webapp.server import serve


def main() -> None:
    settings = read_settings()
    configure_logs(settings, "webapp")
    try:
        serve(create_app(settings), settings.listen_host, settings.webapp_port)
    except CatalogueError as error:
        sys.exit(f"webapp: {error}")
    except OSError as error:
        sys.exit(f"webapp: cannot start: {error}")


if __name__ == "__main__":
    main()
