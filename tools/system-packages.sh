#!/bin/sh
# Installs the Debian packages named, where it may (root, apt); else says the line to run.
set -eu
missing=
for package in "$@"; do
  if command -v dpkg-query >/dev/null; then
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  else
    command -v "$package" >/dev/null || missing="$missing $package"
  fi
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing$missing ..."
  apt-get update -qq
  # shellcheck disable=SC2086 # one word for each package
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
  echo "Missing:$missing. Install with: sudo apt-get install -y$missing" >&2
  exit 1
fi
