#!/bin/bash
# What runs in the registry's container.
set -euo pipefail
cat >/etc/registry.yml <<'YAML'
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}
http: {addr: ":5000"}
YAML
if [[ -n ${REGISTRY_USER:-} ]]; then
  htpasswd -Bin "$REGISTRY_USER" <<<"$REGISTRY_PASSWORD" >/etc/registry.htpasswd
  echo 'auth: {htpasswd: {realm: delivery, path: /etc/registry.htpasswd}}' >>/etc/registry.yml
fi
# Variables that begin with REGISTRY_ would be read as configuration.
unset REGISTRY_USER REGISTRY_PASSWORD
exec docker-registry serve /etc/registry.yml
