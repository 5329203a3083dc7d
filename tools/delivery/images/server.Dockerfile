# A server of the delivery tests: an engine of its own, and sshd for the user deploy.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN --mount=source=trixie.sh,target=/build/trixie.sh /build/trixie.sh \
    containerd docker-cli docker.io iproute2 iptables openssh-server procps runc socat
# Every server makes its own host key. A new user's password is locked until it is `*`.
RUN rm -f /etc/ssh/ssh_host_* \
    && useradd --create-home --shell /bin/bash --password '*' --groups docker deploy \
    && install -d -m 700 -o deploy -g deploy /home/deploy/.ssh \
    && install -d /run/sshd
COPY sshd.conf /etc/ssh/sshd_config
COPY --chmod=755 server.sh /usr/local/bin/server
CMD ["server"]
