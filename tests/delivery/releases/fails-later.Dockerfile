# A release that is ready and passes the smoke test, and then refuses to speak.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
USER root
RUN --mount=source=fails_later.py,target=/tmp/added.py \
    cat /tmp/added.py >>app/ai/tts/espeak_ng.py
USER 10001:10001
ARG VERSION
LABEL org.opencontainers.image.version="${VERSION}"
