"""``uvicorn recommendations.main:app --port 5001``"""

from recommendations.app import create_app
from recsys.logs import configure_logs
from recsys.settings import read_settings

settings = read_settings()
configure_logs(settings, "recommendations")
app = create_app(settings)
