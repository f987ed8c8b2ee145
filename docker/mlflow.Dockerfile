# The MLflow server, with the releases that the pipeline is locked to.
#
#   docker build -f docker/mlflow.Dockerfile -t pageflip-mlflow:REVISION .
ARG BASE_IMAGE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${BASE_IMAGE} AS build
COPY requirements/mlflow-server.txt /tmp/
RUN python3.11 -m venv /tmp/installer && python3.11 -m venv --without-pip /opt/mlflow \
    && /tmp/installer/bin/pip --python /opt/mlflow/bin/python install \
        --no-deps --require-hashes --no-compile --no-cache-dir --disable-pip-version-check \
        -r /tmp/mlflow-server.txt \
    && { /opt/mlflow/bin/python -m compileall -q -j 0 /opt/mlflow/lib || true; }

FROM ${BASE_IMAGE}
ARG GIT_REVISION=unknown
LABEL org.opencontainers.image.title="pageflip-mlflow" \
      org.opencontainers.image.description="MLflow server of pageflip" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${GIT_REVISION}"
RUN rm -rf /usr/local/lib/python3.11/site-packages/pip* /usr/local/bin/pip* \
    && groupadd --gid 10001 mlflow \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin mlflow
COPY --from=build /opt/mlflow /opt/mlflow
COPY docker/make_bucket.py /app/make_bucket.py
ENV PATH=/opt/mlflow/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5000/health', timeout=5)"]
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1"]
