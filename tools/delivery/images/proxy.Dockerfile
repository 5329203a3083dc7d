# HAProxy as in the official image haproxy:3.0: the same user, folders, signal and command.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN --mount=source=trixie.sh,target=/build/trixie.sh /build/trixie.sh haproxy \
    && groupmod --gid 99 haproxy \
    && usermod --uid 99 --gid 99 haproxy \
    && install -d -o haproxy -g haproxy /var/lib/haproxy /usr/local/etc/haproxy
COPY --chmod=755 proxy.sh /usr/local/bin/docker-entrypoint.sh
USER haproxy
WORKDIR /var/lib/haproxy
STOPSIGNAL SIGUSR1
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
