from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from recsys.launch.backends import STANDARD_URLS, VARIABLES
from recsys.launch.data_folder import require_usable
from recsys.launch.errors import LaunchError
from recsys.launch.network import require_free_ports
from recsys.launch.report import Report, open_console
from recsys.launch.run import Options, run
from recsys.launch.seed import read_catalogue
from recsys.launch.services import choose_services
from recsys.settings import DEFAULT_DATA_DIR, SHIPPED_CATALOGUE, read_settings

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def launch(
    data_dir: Annotated[Path, typer.Option(envvar="DATA_DIR")] = DEFAULT_DATA_DIR,
    catalogue: Path = SHIPPED_CATALOGUE,
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
        services = choose_services(only, settings.local_host, ports)
        items = read_catalogue(catalogue)
        report.warn_rows(items.path, items.skipped)
        require_free_ports(services, settings.listen_host)
        require_usable(data_dir)
    except LaunchError as error:
        report.fail(str(error))
        raise typer.Exit(error.exit_code) from error
    environment = os.environ | {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
    environment["CATALOGUE"] = str(catalogue.resolve())
    options = Options(services, data_dir.resolve(), items, not embedded, environment)
    raise typer.Exit(asyncio.run(run(options, report)))
