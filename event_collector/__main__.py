"""``python -m event_collector``"""

import uvicorn

from recsys.logs import configure_logs
from recsys.settings import read_settings
from recsys.web import KEEP_ALIVE_S

if __name__ == "__main__":
    settings = read_settings()
    configure_logs(settings, "collector")
    uvicorn.run(
        "event_collector.main:app",
        host=settings.listen_host,
        port=settings.collector_port,
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
