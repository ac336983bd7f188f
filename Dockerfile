# One file for all of our images, so that the heavy layer, Python and the locked packages, exists once:
# tracking runs on `base` as it is, trainer and deploy add little to it, and deploy bakes models onto it.
# There is no "syntax" line, because that would be one more image to pull.
#
# What comes from Debian is pinned here; the `*` leaves room for Debian's own security revisions.
ARG PYTHON_IMAGE=python:3.13.9-slim-trixie
# nginx is what build-docker's entry point starts; libgomp1 is what LightGBM and others need.
ARG BASE_TOOLS="nginx=1.26.3-3* libgomp1=14.2.0-19*"
# What runs Spark, on 17 or newer.
ARG JAVA=openjdk-21-jre-headless=21.0.*
ARG DOCKER_TOOLS="docker-cli=26.1.5* docker-compose=2.26.1-4* docker-buildx=0.13.1*"

# Where the packages come from. An address may hold a password. The steps below mount the file that holds it, so
# it is in no image and in no image's history. They also mount vendor/, which ./scripts/vendor fills; else it is empty.
FROM scratch AS sources
ARG PACKAGE_INDEX
ARG DEBIAN_MIRROR
COPY lock/sources.sh /
COPY <<addresses /addresses.sh
PACKAGE_INDEX='${PACKAGE_INDEX}'
DEBIAN_MIRROR='${DEBIAN_MIRROR}'
addresses

FROM ${PYTHON_IMAGE} AS uv
RUN --mount=type=bind,from=sources,target=/sources \
    --mount=type=bind,source=vendor,target=/vendor \
    --mount=type=secret,id=ca,mode=0444 \
    --mount=type=bind,source=lock/bootstrap.txt,target=/bootstrap.txt \
    . /sources/sources.sh && use_image_sources \
    && pip install $packages_from --no-cache-dir --no-deps --require-hashes --target /uv -r /bootstrap.txt

# What ./scripts/vendor collects: the Debian packages that the steps below install.
FROM ${PYTHON_IMAGE} AS download
ARG BASE_TOOLS
ARG DEBIAN_PACKAGES
ARG DOCKER_TOOLS
RUN --mount=type=bind,from=sources,target=/sources \
    --mount=type=secret,id=ca,mode=0444 \
    --mount=type=tmpfs,target=/tmp \
    . /sources/sources.sh && use_image_sources && use_mirror && apt-get update \
    && download_debian base $BASE_TOOLS $DEBIAN_PACKAGES && download_debian deploy $DOCKER_TOOLS
FROM scratch AS debs
COPY --from=download /debs /

FROM ${PYTHON_IMAGE} AS base
ARG DEBIAN_FRONTEND=noninteractive
ARG BASE_TOOLS
ARG DEBIAN_PACKAGES
# The entry point of an image made by build-docker starts nginx. It runs as our user, so that user must own nginx's
# directories. /opt/mlflow is build-docker's working directory, /mlflow the tracking server's store.
RUN --mount=type=bind,from=sources,target=/sources \
    --mount=type=bind,source=vendor,target=/vendor \
    --mount=type=secret,id=ca,mode=0444 \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    . /sources/sources.sh && use_image_sources && install_debian base $BASE_TOOLS $DEBIAN_PACKAGES \
    && useradd --uid 10001 --create-home --home-dir /home/stack stack \
    && install -d -o stack -g stack /mlflow /opt/mlflow /opt/ml \
    && chown -R stack:stack /var/log/nginx /var/lib/nginx
# The tests of the large packages, an eighth of all, are left out. All is compiled here, the standard library
# included, so that the containers start fast: they run as a user who can't write the byte code.
RUN --mount=type=bind,from=sources,target=/sources \
    --mount=type=bind,source=vendor,target=/vendor \
    --mount=type=secret,id=ca,mode=0444 \
    --mount=type=bind,from=uv,source=/uv,target=/uv \
    --mount=type=bind,source=lock/runtime.txt,target=/runtime.txt \
    --mount=type=bind,source=lock/quick.pth,target=/quick.pth \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=cache,target=/root/.cache/uv \
    . /sources/sources.sh && use_image_sources \
    && /uv/bin/uv pip install $packages_from --system --link-mode copy --no-deps --require-hashes -r /runtime.txt \
    && packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && cd "$packages" \
    && install -m 644 /quick.pth . \
    && find matplotlib numpy pandas pyarrow scipy sklearn -depth -type d -name tests -exec rm -r {} + \
    && python -m compileall -q -j 0 -x '/tests?/' "$packages" \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
# A new volume starts as a copy of this, which saves a second at the first start of the tracking server.
RUN MLFLOW_DISABLE_TELEMETRY=true mlflow db upgrade sqlite:////mlflow/mlflow.db && chown stack: /mlflow/mlflow.db
# What Compose starts: the tracking server here, the model server in an image that is baked on this one.
COPY --chmod=755 tracking/*.py /opt/pyfunc-stack/tracking/
COPY --chmod=755 serving/ /opt/pyfunc-stack/
RUN python -m compileall -q /opt/pyfunc-stack
# No index, because the trainer's MLflow asks pip about the requirements of what it logs.
ENV HOME=/home/stack \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_INDEX=1 \
    PIP_NO_DEPS=1 \
    GIT_PYTHON_REFRESH=quiet \
    MLFLOW_DISABLE_TELEMETRY=true
USER 10001:10001

# What a model needs and the lock has not; `deploy` bakes all versions of these requirements onto it. `deploy` builds
# this stage, on the PYTHON_IMAGE of the model's own Python, and says what is needed in the directory `needs`.
FROM base AS environment
USER 0:0
RUN --mount=type=bind,from=sources,target=/sources \
    --mount=type=bind,source=vendor,target=/vendor \
    --mount=type=secret,id=ca,mode=0444 \
    --mount=type=bind,from=uv,source=/uv,target=/uv \
    --mount=type=bind,from=needs,target=/needs \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=cache,target=/root/.cache/uv \
    . /sources/sources.sh && use_image_sources && export UV_CACHE_DIR=/root/.cache/uv UV_LINK_MODE=copy \
    && install_environment /uv/bin/uv "$(command -v python)" /needs /opt/pyfunc-stack/packages.txt
USER 10001:10001

# What Spark's master, workers and driver run on; ./scripts/score --master builds it at its first use. For a model with
# an environment of its own, that image is `base` here. ./scripts/vendor does not collect Java and Spark.
FROM base AS score-spark
ARG DEBIAN_FRONTEND=noninteractive
ARG JAVA
USER 0:0
RUN --mount=type=bind,from=sources,target=/sources \
    --mount=type=secret,id=ca,mode=0444 \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    . /sources/sources.sh && use_image_sources && install_debian score-spark $JAVA
RUN --mount=type=bind,from=sources,target=/sources \
    --mount=type=secret,id=ca,mode=0444 \
    --mount=type=bind,from=uv,source=/uv,target=/uv \
    --mount=type=bind,source=lock/spark.txt,target=/spark.txt \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=cache,target=/root/.cache/uv \
    . /sources/sources.sh && use_image_sources && export UV_CACHE_DIR=/root/.cache/uv UV_LINK_MODE=copy \
    && install_aside /uv/bin/uv "$(command -v python)" /spark.txt /opt/spark
ENV SPARK_HOME=/opt/spark/pyspark \
    PYTHONPATH=/opt/pyfunc-stack:/opt/spark \
    PATH=/opt/spark/pyspark/bin:$PATH
USER 10001:10001

FROM base AS trainer
ARG MODEL_DIR=trainer
# Laid out as the checkout is, so that the same files give the same fingerprint.
WORKDIR /stack
COPY --chmod=755 lock/runtime.txt lock/
COPY --chmod=755 trainer/ trainer/
COPY --chmod=755 ${MODEL_DIR}/ ${MODEL_DIR}/
ENV PYTHONPATH=/stack/trainer
WORKDIR /stack/${MODEL_DIR}
# `up` starts the same container again, and one that was killed has left its files.
CMD ["sh", "-c", "find /tmp -xdev -mindepth 1 -delete; exec python -P -m workflow train.py --wait"]

FROM base AS deploy
ARG DEBIAN_FRONTEND=noninteractive
ARG DOCKER_TOOLS
# Root, because the Docker socket is root's; whoever holds that socket is root on the host anyway.
USER 0:0
RUN --mount=type=bind,from=sources,target=/sources \
    --mount=type=bind,source=vendor,target=/vendor \
    --mount=type=secret,id=ca,mode=0444 \
    --mount=type=tmpfs,target=/tmp \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    . /sources/sources.sh && use_image_sources && install_debian deploy $DOCKER_TOOLS
# The checkout may lie there on the host; stack/modes/overrides.py makes a link of the same name.
RUN rm -r /opt/pyfunc-stack
WORKDIR /stack
ENTRYPOINT ["sh", "-c", "find /tmp -xdev -mindepth 1 -delete; exec python -m stack deploy --docker \"$@\"", "deploy"]
CMD ["--wait"]
