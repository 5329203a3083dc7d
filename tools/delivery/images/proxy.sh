#!/bin/sh
# As the official image begins: haproxy runs with a master process, in the foreground.
set -e
[ "${1#-}" = "$1" ] || set -- haproxy "$@"
if [ "$1" = haproxy ]; then
  shift
  set -- haproxy -W -db "$@"
fi
exec "$@"
