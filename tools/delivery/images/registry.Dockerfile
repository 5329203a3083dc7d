# A container registry. REGISTRY_USER and REGISTRY_PASSWORD, when both are set, are asked of everybody.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends apache2-utils docker-registry >/dev/null \
    && rm -rf /var/lib/apt/lists/*
COPY --chmod=755 registry.sh /usr/local/bin/registry
EXPOSE 5000
CMD ["registry"]
