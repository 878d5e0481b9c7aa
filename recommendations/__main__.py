"""``python -m recommendations``"""

import uvicorn

from recsys.settings import read_settings
from recsys.web import KEEP_ALIVE_S

if __name__ == "__main__":
    settings = read_settings()
    uvicorn.run(
        "recommendations.main:app",
        host=settings.listen_host,
        port=settings.recommendations_port,
        workers=settings.recommendations_workers,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
