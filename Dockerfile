# One image for every process of the hub; docker-compose.yml says which process a container is.

FROM python:3.11-slim-bookworm AS build
ENV UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy VIRTUAL_ENV=/opt/hub
WORKDIR /build
COPY requirements.lock ./
# The lock names every package of the hub, of its tests and of its tools, each with its hashes. As constraints it
# pins and verifies what the members need, and nothing else is installed.
RUN python -m venv --without-pip /opt/hub && pip install --no-cache-dir "uv>=0.13,<0.14"
COPY shared shared
COPY services services
COPY deploy/embedded deploy/embedded
RUN uv pip install --no-cache --verify-hashes --constraint requirements.lock ./shared/* ./services/* ./deploy/embedded

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --no-log-init --home-dir /app --shell /usr/sbin/nologin hub && \
    install -d -o hub -g hub /app /data
COPY --from=build /opt/hub /opt/hub
COPY deploy/kafka/topics.py deploy/kafka/topics.toml /app/deploy/kafka/
ENV PATH=/opt/hub/bin:$PATH PYTHONUNBUFFERED=1 TZ=UTC
WORKDIR /app
USER hub
EXPOSE 8000
CMD ["ehcp", "--help"]
