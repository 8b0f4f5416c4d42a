# Targets: app (no torch), app-gpu (serves from a GPU), worker (CPU), worker-gpu, store (the S3 server of docker-compose.yml).
# Build: docker build --target app -t secateur-app .
FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 10001 secateur && mkdir /data && chown secateur /data
WORKDIR /srv/secateur
# Installed as editable, so commands and `python -m` run the same files.
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY secateur secateur
COPY worker worker
ENV SECATEUR_DATA_DIR=/data SECATEUR_LOG_FORMAT=json

FROM base AS app
COPY requirements requirements
RUN pip install --require-hashes -r requirements/app.txt && pip install --no-deps --editable .
USER secateur
EXPOSE 8000
ENV SECATEUR_API__HOST=0.0.0.0 SECATEUR_API__PORT=8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["python", "-m", "app.server"]

FROM base AS app-gpu
COPY requirements requirements
RUN pip install --require-hashes -r requirements/app-gpu.txt && pip install --no-deps --editable .
USER secateur
EXPOSE 8000
ENV SECATEUR_API__HOST=0.0.0.0 SECATEUR_API__PORT=8000 SECATEUR_INFERENCE__PROVIDER=cuda
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["python", "-m", "app.server"]

FROM base AS worker
COPY requirements requirements
# CPU builds of torch are a tenth of the size of the CUDA builds. They are pinned by version only.
RUN pip install --require-hashes -r requirements/worker.txt \
    && pip install --no-deps --index-url https://download.pytorch.org/whl/cpu \
        $(grep -Eo '^(torch|torchvision)==[^ ]+' requirements/worker-gpu.txt) \
    && pip install --no-deps --editable .
USER secateur
ENV SECATEUR_WORKER__HEARTBEAT_FILE=/tmp/heartbeat
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-m", "worker.health"]
CMD ["python", "-m", "celery", "--app", "worker.celery_app", "worker", "--pool", "threads", "-Q", "cpu", "-c", "1", "--without-mingle", "--without-gossip"]

# docs/gpu.md says what has been tested.
FROM base AS worker-gpu
COPY requirements requirements
RUN pip install --require-hashes -r requirements/worker-gpu.txt && pip install --no-deps --editable .
USER secateur
ENV SECATEUR_WORKER__DEVICE=cuda SECATEUR_WORKER__HEARTBEAT_FILE=/tmp/heartbeat
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-m", "worker.health"]
CMD ["python", "-m", "celery", "--app", "worker.celery_app", "worker", "--pool", "threads", "-Q", "gpu", "-c", "1", "--without-mingle", "--without-gossip"]

# The server's official image runs as root and would own the volume.
FROM minio/minio:RELEASE.2025-09-07T16-13-09Z AS store
COPY --from=base --chown=10001:10001 /data /data
USER 10001
