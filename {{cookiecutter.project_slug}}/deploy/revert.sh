#!/bin/sh
# Back to the version before, or to a named one: deploy/revert.sh production [v1.2.2]
# DOCKER_HOST=ssh://deploy@server says where. Shows the target and the version, and asks.
set -eu
cd "$(dirname "$0")/.."
exec python3 -m deploy.release rollback "$@"
