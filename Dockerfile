# One image for all services; docker-compose.yml says which one a container runs.
FROM python:3.12.11-slim-bookworm
WORKDIR /app
COPY requirements*.txt ./
# For recommenders that a job trains: EXTRAS=requirements-als.txt
ARG EXTRAS=
RUN for file in requirements.txt $EXTRAS; do pip install --no-cache-dir -r "$file" || exit 1; done
COPY . .
RUN useradd --create-home app && mkdir -p /app/data && chown app /app/data
USER app
ENV PYTHONUNBUFFERED=1 DATA_DIR=/app/data
CMD ["python", "-m", "recommendations"]
