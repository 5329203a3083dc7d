# The probe as in the official image prom/blackbox-exporter.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN --mount=source=trixie.sh,target=/build/trixie.sh /build/trixie.sh prometheus-blackbox-exporter
USER nobody
EXPOSE 9115
ENTRYPOINT ["prometheus-blackbox-exporter"]
