# One image for every role: the command says whether it serves, works or migrates.

FROM python:3.13-slim AS packages
WORKDIR /app
RUN python -m venv /venv
COPY requirements.txt .
# The database is a service of its own here; the server in this wheel stays unused.
RUN /venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent app
COPY --from=packages /venv /venv
COPY . .
# Collecting reads every setting and keeps none: the values stand in for those that the service gets.
RUN SECRET_KEY=build DATABASE_URL=postgres://build@localhost/build ALLOWED_HOSTS=build \
    SITE_URL=https://build.example EMAIL_URL=dummymail:// \
    JWT_SIGNING_KEYS=build:00000000000000000000000000000000 \
    python manage.py collectstatic --no-input
USER app
EXPOSE 8000
ENV WEB_BIND=0.0.0.0:8000
# gunicorn ends its requests before it stops.
STOPSIGNAL SIGTERM
CMD ["gunicorn", "config.wsgi:application", "--config=deploy/gunicorn.conf.py"]
