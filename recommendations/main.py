"""``uvicorn recommendations.main:app --port 5001``"""

from recommendations.app import create_app
from recsys.logs import configure_logs
from recsys.settings import Settings

settings = Settings()
configure_logs(settings, "recommendations")
app = create_app(settings)
