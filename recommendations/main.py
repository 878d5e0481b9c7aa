"""``uvicorn recommendations.main:app --port 5001``"""

from recommendations.app import create_app
from recsys.logs import configure_logs
from recsys.recommenders.registry import RecommenderError
from recsys.settings import read_settings
from recsys.web import misconfiguration_ends_the_process

settings = read_settings()
configure_logs(settings, "recommendations")
with misconfiguration_ends_the_process(RecommenderError):
    app = create_app(settings)
