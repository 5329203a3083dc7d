# Prometheus as in the official image prom/prometheus: the same user, folders and command, with promtool.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN --mount=source=trixie.sh,target=/build/trixie.sh /build/trixie.sh prometheus promtool \
    && install -d -o nobody -g nogroup /prometheus
USER nobody
WORKDIR /prometheus
EXPOSE 9090
ENTRYPOINT ["prometheus"]
