# Alertmanager as in the official image prom/alertmanager: the same user, folder and command.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN --mount=source=trixie.sh,target=/build/trixie.sh /build/trixie.sh prometheus-alertmanager \
    && install -d -o nobody -g nogroup /alertmanager
USER nobody
WORKDIR /alertmanager
EXPOSE 9093
ENTRYPOINT ["prometheus-alertmanager"]
