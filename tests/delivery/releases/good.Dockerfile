# A release that differs from the image it is made of in its version alone.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG VERSION
LABEL org.opencontainers.image.version="${VERSION}"
