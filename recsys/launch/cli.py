from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from recsys.launch.backends import STANDARD_URLS, VARIABLES
from recsys.launch.data_folder import require_usable
from recsys.launch.errors import LaunchError, UsageError
from recsys.launch.network import require_free_ports
from recsys.launch.report import Report, open_console
from recsys.launch.run import Options, run
from recsys.launch.seed import read_catalogue
from recsys.launch.services import choose_services
from recsys.settings import DEFAULT_DATA_DIR, SHIPPED_CATALOGUE, Settings, read_settings
from recsys.settings.recommending import RecommendingSettings

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def has_to_train(settings: Settings) -> bool:
    """Whether jobs train one of the recommenders. LaunchError for one that cannot be had.

    Recommenders are imported only where the settings name something.
    """
    defaults = Settings.model_construct()
    if all(getattr(settings, name) == getattr(defaults, name) for name in RecommendingSettings.model_fields):
        return False
    from recsys.recommenders.extras import require
    from recsys.recommenders.recipe import read_recipe
    from recsys.recommenders.registry import RecommenderError

    try:
        recipe = read_recipe(**settings.recipe)
        require(recipe, to_train=True)
    except RecommenderError as error:
        raise LaunchError(str(error)) from error
    return bool(recipe.periodic)


@app.command()
def launch(
    data_dir: Annotated[Path, typer.Option(envvar="DATA_DIR")] = DEFAULT_DATA_DIR,
    catalogue: Path = SHIPPED_CATALOGUE,
    history: Path | None = None,
    only: str = "",
    embedded: Annotated[bool, typer.Option("--embedded")] = False,
    collector_port: Annotated[int, typer.Option(envvar="COLLECTOR_PORT", min=1, max=65535)] = 5000,
    recommendations_port: Annotated[int, typer.Option(envvar="RECOMMENDATIONS_PORT", min=1, max=65535)] = 5001,
    webapp_port: Annotated[int, typer.Option(envvar="WEBAPP_PORT", min=1, max=65535)] = 8000,
) -> None:
    """The options are explained by run_all.sh --help, which needs no Python."""
    report = Report(open_console())
    ports = {"collector": collector_port, "recommendations": recommendations_port, "webapp": webapp_port}
    # The URLs are looked at together with the servers that they name.
    urls = {VARIABLES[kind].lower(): STANDARD_URLS[kind] for kind in VARIABLES}
    settings = read_settings(**urls, **{f"{name}_port": port for name, port in ports.items()})
    try:
        services = choose_services(only, settings.local_host, ports, to_train=has_to_train(settings))
        items = read_catalogue(catalogue)
        report.warn_rows(items.path, items.skipped)
        if history is not None and not history.exists():
            raise UsageError(f"--history: {history} does not exist.")
        require_free_ports(services, settings.listen_host)
        require_usable(data_dir)
    except LaunchError as error:
        report.fail(str(error))
        raise typer.Exit(error.exit_code) from error
    environment = os.environ | {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
    environment["CATALOGUE"] = str(catalogue.resolve())
    options = Options(services, data_dir.resolve(), items, not embedded, environment, history and history.resolve())
    raise typer.Exit(asyncio.run(run(options, report)))
