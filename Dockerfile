# One image for all services; docker-compose.yml says which one a container runs.
FROM python:3.12.11-slim-bookworm
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN useradd --create-home app && mkdir -p /app/data && chown app /app/data
USER app
ENV PYTHONUNBUFFERED=1 DATA_DIR=/app/data
CMD ["python", "-m", "recommendations"]
