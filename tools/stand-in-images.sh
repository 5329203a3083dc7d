#!/usr/bin/env bash
# Makes stand-ins for the two official base images, where no container registry can be reached:
#   kodex-stand-in/python:3.11-slim            Debian with Python in /usr/local, as in python:3.11-slim
#   kodex-stand-in/cuda:TAG                    Debian without Python, as nvidia/cuda:TAG is Ubuntu without
# They hold this machine's package mirror and certificates, so that the Dockerfiles build unchanged.
# The second one also holds a Python archive for `uv python install`, made of this machine's own.
set -euo pipefail
CUDA_TAG=${1:?the tag of nvidia/cuda}
WORK=${2:?a folder to keep the parts in}
RELEASE=bookworm # its Python is a 3.11
PYTHON=kodex-stand-in/python:3.11-slim
CUDA=kodex-stand-in/cuda:$CUDA_TAG
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt

docker image inspect "$PYTHON" "$CUDA" >/dev/null 2>&1 && exit 0
[[ $(id -u) = 0 ]] && command -v apt-get >/dev/null || {
  echo "stand-in images are made on Debian, by root. Elsewhere: KODEX_BASE_IMAGES=official, with a registry in reach." >&2
  exit 1
}
"$(dirname "$0")/system-packages.sh" debootstrap patchelf python3-venv
mkdir -p "$WORK"
if [[ ! -s $WORK/base.tar ]]; then
  echo "making the stand-in images ..."
  . "$(dirname "$0")/debian-mirror.sh"
  root=$WORK/root
  rm -rf "$root"
  debootstrap --variant=minbase \
    --include=ca-certificates,netbase,tzdata,libssl3,libffi8,libsqlite3-0,libreadline8,libncursesw6,libexpat1 \
    $RELEASE "$root" "$mirror" >"$WORK/debootstrap.log" 2>&1 || {
    tail -n 3 "$WORK/debootstrap.log" >&2
    exit 1
  }
  find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$root/usr/local/share/ca-certificates/" \;
  chroot "$root" update-ca-certificates >/dev/null 2>&1
  for suite in $RELEASE $RELEASE-updates; do echo "deb $mirror $suite main"; done >"$root/etc/apt/sources.list"
  echo "deb $mirror-security $RELEASE-security main" >>"$root/etc/apt/sources.list"
  # As in the official images: no archive of packages stays, no documentation, no recommended package.
  cat >"$root/etc/apt/apt.conf.d/docker-clean" <<'CONF'
Acquire::Check-Valid-Until "false"; Acquire::Check-Date "false"; Acquire::Languages "none";
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
CONF
  printf 'path-exclude /usr/share/%s/*\n' doc man locale >"$root/etc/dpkg/dpkg.cfg.d/docker-nodoc"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/* "$root"/var/log/*.log
  tar -C "$root" -cf "$WORK/base.part" .
  mv "$WORK/base.part" "$WORK/base.tar"
  rm -rf "$root"
fi
docker import --change "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
  --change "ENV LANG=C.UTF-8" --change "ENV SSL_CERT_FILE=$CERTIFICATES" --change "ENV PIP_CERT=$CERTIFICATES" \
  --change 'CMD ["bash"]' "$WORK/base.tar" kodex-stand-in/base >/dev/null

docker build --quiet --tag "$PYTHON" - >/dev/null <<'DOCKERFILE'
FROM kodex-stand-in/base
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null 2>&1 \
    && python3 -m venv /usr/local && rm -rf /usr/local/bin/*ctivate* /var/lib/apt/lists/*
CMD ["python3"]
DOCKERFILE

archive=cpython-3.11-linux-x86_64.tar.gz
if [[ ! -s $WORK/uv/downloads.json ]]; then
  prefix=$(python3.11 -c 'import sys; print(sys.base_prefix)')
  patch=$(python3.11 -c 'import sys; print(sys.version_info.micro)')
  python=$WORK/uv/python
  rm -rf "$WORK/uv"
  mkdir -p "$python"/{bin,lib/python3.11/site-packages,include}
  cp "$prefix/bin/python3.11" "$python/bin/"
  ln -s python3.11 "$python/bin/python3"
  ln -s python3.11 "$python/bin/python"
  find "$prefix/lib" -maxdepth 1 -name 'libpython3*.so*' -exec cp -a {} "$python/lib/" \;
  tar -C "$prefix/lib/python3.11" --exclude=./site-packages --exclude=./sitecustomize.py --exclude=./test --exclude=__pycache__ --exclude='*.a' -cf - . |
    tar -xf - -C "$python/lib/python3.11"
  patchelf --set-rpath '$ORIGIN/../lib' "$python/bin/python3.11"
  tar -C "$WORK/uv" -czf "$WORK/uv/$archive" python
  rm -rf "$python"
  hash=$(sha256sum "$WORK/uv/$archive" | cut -d' ' -f1)
  cat >"$WORK/uv/downloads.json" <<JSON
{"cpython-3.11.$patch-linux-x86_64-gnu": {"name": "cpython", "arch": {"family": "x86_64", "variant": null},
 "os": "linux", "libc": "gnu", "major": 3, "minor": 11, "patch": $patch, "prerelease": "", "variant": null,
 "url": "file:///opt/python-archive/$archive", "sha256": "$hash", "build": "20240107"}}
JSON
fi
docker build --quiet --tag "$CUDA" --file - "$WORK/uv" >/dev/null <<DOCKERFILE
FROM kodex-stand-in/base
COPY $archive downloads.json /opt/python-archive/
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    UV_PYTHON_DOWNLOADS_JSON_URL=file:///opt/python-archive/downloads.json UV_SYSTEM_CERTS=1
CMD ["/bin/bash"]
DOCKERFILE
