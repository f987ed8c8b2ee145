# The image in which every stage runs: the pipeline environment, this revision's code, nothing to build with.
#
#   docker build -f docker/task.Dockerfile --build-arg GIT_REVISION=$(git rev-parse HEAD) -t pageflip-task:REVISION .
#   docker run --rm --gpus all pageflip-task:REVISION pageflip doctor --cuda        # the health of CUDA
#   docker run --rm ... pageflip-task:REVISION python -m tasks.run_stage prepare --run try-1
#
# To move to newer bases, read their digests from `docker buildx imagetools inspect IMAGE:TAG`. torch brings the CUDA
# libraries that it was built with, so a smaller `-base-` image of CUDA 13 does as well. No RUN --mount: the classic
# builder must do.
ARG BASE_IMAGE=nvidia/cuda:13.0.1-runtime-ubuntu24.04@sha256:c3fde347d52d578c84fd644bc177bc7ec333feaf11550d990da4084d7612e4c7
# Where python3.11 comes from, in /usr/local; its C library must not be newer than the base image's.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${PYTHON_IMAGE} AS python

FROM ${BASE_IMAGE} AS base
# What python3.11 links to, and a first process that hands signals on. Empty: the base image has them (no network).
ARG SYSTEM_PACKAGES="ca-certificates libbz2-1.0 libexpat1 libffi8 liblzma5 libncursesw6 libreadline8 libsqlite3-0 libssl3 libuuid1 tini zlib1g"
RUN if [ -n "$SYSTEM_PACKAGES" ]; then \
        apt-get update \
        && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $SYSTEM_PACKAGES \
        && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=python /usr/local /usr/local

FROM base AS build
# requirements: from the lock file. none: the base image's python3.11 has the packages already.
ARG INSTALL=requirements
COPY requirements/pipeline.txt /tmp/pipeline.txt
RUN if [ "$INSTALL" = none ]; then \
        python3.11 -m venv --without-pip --system-site-packages /opt/pageflip; \
    else \
        python3.11 -m venv /tmp/installer && python3.11 -m venv --without-pip /opt/pageflip \
        && /tmp/installer/bin/pip --python /opt/pageflip/bin/python install \
            --no-deps --require-hashes --no-compile --no-cache-dir --disable-pip-version-check \
            -r /tmp/pipeline.txt \
        && { /opt/pageflip/bin/python -m compileall -q -j 0 /opt/pageflip/lib || true; }; \
    fi # a few packages ship templates that are no Python: compileall complains of those
COPY . /src
RUN mkdir -p /app/data /app/.dvc && cd /src \
    && cp -r pageflip tasks dvc.yaml params.yaml /app/ && cp .dvc/config /app/.dvc/ \
    && { [ ! -f data/raw.dvc ] || cp data/raw.dvc /app/data/; } \
    && find /app -name __pycache__ -prune -exec rm -rf {} + \
    && /opt/pageflip/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/pageflip /app/tasks \
    && echo /app >"$(/opt/pageflip/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/pageflip.pth" \
    && printf '#!/opt/pageflip/bin/python\nfrom pageflip.cli.app import main\n\nmain()\n' >/opt/pageflip/bin/pageflip \
    && chmod 755 /opt/pageflip/bin/pageflip \
    && chmod -R a+rX,a-w /app

FROM base
ARG GIT_REVISION=unknown
LABEL org.opencontainers.image.title="pageflip-task" \
      org.opencontainers.image.description="One stage of the pageflip pipeline" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${GIT_REVISION}"
# no pip: an image is made anew, never mended; the user owns its state folder and nothing else
RUN rm -rf /usr/local/lib/python3.11/site-packages/pip* /usr/local/bin/pip* \
    && groupadd --gid 10001 pageflip \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/pageflip --shell /usr/sbin/nologin pageflip \
    && install --directory --owner=pageflip --group=pageflip --mode=700 /var/lib/pageflip
COPY --from=build /opt/pageflip /opt/pageflip
COPY --from=build /app /app
ENV PATH=/opt/pageflip/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/pageflip \
    PAGEFLIP_HOME=/var/lib/pageflip \
    PAGEFLIP_CACHE=/var/lib/pageflip/cache \
    PAGEFLIP_GIT_REVISION=${GIT_REVISION} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true
WORKDIR /app
USER 10001:10001
VOLUME /var/lib/pageflip
# a task ends by itself and its exit code says how: nothing to poll. CUDA is probed by `pageflip doctor --cuda`
HEALTHCHECK NONE
ENTRYPOINT ["tini", "-g", "--"]
CMD ["pageflip", "doctor"]
