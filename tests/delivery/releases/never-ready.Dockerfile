# A release that is alive and never ready.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
USER root
RUN --mount=source=never_ready.py,target=/tmp/added.py \
    cat /tmp/added.py >>app/ai/stt/faster_whisper.py
USER 10001:10001
ARG VERSION
LABEL org.opencontainers.image.version="${VERSION}"
