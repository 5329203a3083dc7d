#!/bin/bash
# Installs packages of Debian trixie, whose engine and proxy are new enough, over a base of an older
# release too. The mirror is the one that the base knows.
set -euo pipefail
mirrors=$(find /etc/apt '(' -name sources.list -o -name debian.sources ')' -exec \
  sed -nE 's,^(URIs:|deb) +(https?://[^ ]+).*,\2,p' {} +)
: "${mirrors:?apt names no Debian mirror (debian.sources, sources.list)}"
echo "deb ${mirrors%%$'\n'*} trixie main" >/etc/apt/sources.list.d/trixie.list
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends --target-release trixie "$@" >/dev/null
rm -rf /var/lib/apt/lists/*
