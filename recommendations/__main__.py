"""``python -m recommendations``"""

import uvicorn

from recsys.logs import configure_logs
from recsys.settings import read_settings
from recsys.web import KEEP_ALIVE_S

if __name__ == "__main__":
    settings = read_settings()
    configure_logs(settings, "recommendations")
    uvicorn.run(
        "recommendations.main:app",
        host=settings.listen_host,
        port=settings.recommendations_port,
        workers=settings.recommendations_workers,
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
