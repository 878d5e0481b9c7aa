"""``python -m recommendations``"""

import uvicorn

from recsys.settings import Settings
from recsys.web import KEEP_ALIVE_S

if __name__ == "__main__":
    settings = Settings()
    uvicorn.run(
        "recommendations.main:app",
        host=settings.listen_host,
        port=settings.recommendations_port,
        workers=settings.recommendations_workers,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
