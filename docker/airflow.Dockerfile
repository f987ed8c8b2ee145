# Airflow's processes: the orchestrator environment and the DAGs, no ML package and no code of the pipeline.
#
#   docker build -f docker/airflow.Dockerfile --build-arg GIT_REVISION=$(git rev-parse HEAD) -t pageflip-airflow:REVISION .
ARG BASE_IMAGE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${BASE_IMAGE} AS build
COPY requirements/orchestrator.txt requirements/servers.txt /tmp/
RUN python3.11 -m venv /tmp/installer && python3.11 -m venv --without-pip /opt/airflow \
    && /tmp/installer/bin/pip --python /opt/airflow/bin/python install \
        --no-deps --require-hashes --no-compile --no-cache-dir --disable-pip-version-check \
        -r /tmp/orchestrator.txt -r /tmp/servers.txt \
    && { /opt/airflow/bin/python -m compileall -q -j 0 /opt/airflow/lib || true; }
COPY . /src
# the DAG retrain is generated from dvc.yaml and params.yaml, which belong in the folder above dags/
RUN mkdir /app && cd /src && cp -r dags dvc.yaml params.yaml /app/ && cp docker/airflow_admin.py /app/ \
    && find /app -name __pycache__ -prune -exec rm -rf {} + && chmod -R a+rX,a-w /app

FROM ${BASE_IMAGE}
ARG GIT_REVISION=unknown
LABEL org.opencontainers.image.title="pageflip-airflow" \
      org.opencontainers.image.description="Airflow with the DAGs of pageflip" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${GIT_REVISION}"
RUN rm -rf /usr/local/lib/python3.11/site-packages/pip* /usr/local/bin/pip* \
    && groupadd --gid 10001 airflow \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/airflow --shell /usr/sbin/nologin airflow \
    && install --directory --owner=airflow --group=airflow --mode=700 /var/lib/airflow /var/lib/airflow/logs
COPY --from=build /opt/airflow /opt/airflow
COPY --from=build /app /app
ENV PATH=/opt/airflow/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/airflow \
    AIRFLOW_HOME=/var/lib/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/app/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=/var/lib/airflow/logs \
    PAGEFLIP_PROJECT=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
VOLUME /var/lib/airflow/logs
# each Airflow process has its own health check in compose.yaml
HEALTHCHECK NONE
CMD ["airflow", "version"]
