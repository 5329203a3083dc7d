#!/bin/bash
# What runs in a server. AUTHORIZED_KEY is deploy's public key; REGISTRY, host:port, is reached as
# 127.0.0.1:REGISTRY_PORT, so that an image has the same name here as on the machine around.
set -euo pipefail

# Containers get control groups of their own, below this one's: both generations of the kernel's.
awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts | while read -r folder; do
  mount -o remount,bind,rw "$folder"
done
if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
  # A group of the second generation passes on its controllers only while no process is in it: a
  # process that has ended meanwhile cannot be moved, and one that stays fails the last line.
  mkdir -p /sys/fs/cgroup/init
  xargs -rn1 </sys/fs/cgroup/cgroup.procs >/sys/fs/cgroup/init/cgroup.procs || true
  sed 's/ / +/g; s/^/+/' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi

ssh-keygen -q -t ed25519 -N '' -C "$HOSTNAME" -f /etc/ssh/ssh_host_ed25519_key
echo "$AUTHORIZED_KEY" >/home/deploy/.ssh/authorized_keys
/usr/sbin/sshd
socat "TCP-LISTEN:$REGISTRY_PORT,bind=127.0.0.1,fork,reuseaddr" "TCP:$REGISTRY" &
exec dockerd --log-level warn
