"""``python -m event_collector``"""

import uvicorn

from recsys.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    uvicorn.run("event_collector.main:app", host=settings.host, port=settings.collector_port, access_log=False)
