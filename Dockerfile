# One image for web, worker, beat and the one-shot migration; docker-compose.yml chooses which one a container runs.
FROM python:3.12-slim-bookworm AS build
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM python:3.12-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data STATIC_ROOT=/app/collected
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin leaderboard \
 && useradd --uid 10002 --no-create-home --shell /usr/sbin/nologin reader \
 && install -d -o leaderboard -m 0700 /data
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY baseline baseline
COPY evaluation evaluation
COPY leaderboard leaderboard
COPY rehearsal rehearsal
COPY templates templates
RUN DATA_DIR=/tmp/build python manage.py collectstatic --noinput --verbosity 0 && rm -r /tmp/build && python -m compileall -q .
USER leaderboard
VOLUME /data
EXPOSE 8000
CMD ["gunicorn", "--config", "python:leaderboard.platform.gunicorn", "leaderboard.wsgi"]
