#!/usr/bin/env bash
# Sees to it that a container engine runs: the one that is there, else Docker from Debian's packages
# (root and apt), else the sentence that says what is missing.
set -euo pipefail
# What the Dockerfiles and compose.yaml use: --mount and --build-context (23), health start interval (25).
NEEDED=25
SUITE=trixie # the first Debian release whose engine is new enough
LOG=${TMPDIR:-/tmp}/dockerd.log

fail() {
  echo "container engine: $*" >&2
  exit 1
}
server_version() { docker version --format '{{.Server.Version}}' 2>/dev/null; }
complete() { command -v dockerd >/dev/null && docker buildx version >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

install() {
  [[ $(id -u) = 0 ]] && command -v apt-get >/dev/null ||
    fail "no Docker engine answers. Start it, or install Docker Engine $NEEDED or newer with buildx and compose."
  echo "installing Docker ..."
  local mirror release suite="" list=/etc/apt/sources.list.d/container-engine.list
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  if [[ $release = bookworm ]]; then
    . "$(dirname "$0")/debian-mirror.sh"
    echo "deb $mirror $SUITE main" >"$list"
    printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' $SUITE >/etc/apt/preferences.d/container-engine
    suite=/$SUITE
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iptables containerd runc \
    "docker.io$suite" "docker-cli$suite" "docker-buildx$suite" "docker-compose$suite" >/dev/null
}

if ! server_version >/dev/null; then
  complete || install
  nohup dockerd --log-level warn >"$LOG" 2>&1 &
  for _ in $(seq 60); do
    server_version >/dev/null && break
    sleep 0.5
  done
fi
version=$(server_version) || fail "dockerd does not start, see $LOG: $(tail -n 1 "$LOG")"
((${version%%.*} >= NEEDED)) || fail "Docker Engine $version is too old: $NEEDED or newer is needed."
docker buildx version >/dev/null 2>&1 || fail "the buildx plugin of Docker is missing (docker-buildx-plugin)."
docker compose version >/dev/null 2>&1 || fail "the compose plugin of Docker is missing (docker-compose-plugin)."
