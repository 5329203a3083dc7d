# Sourced: sets `mirror` to the Debian mirror that apt's own configuration names, without a slash at its end.
mirror=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
  sed -nE 's,^(URIs:|deb ).*[^a-z](https?://[^ ]+).*,\2,p' | head -n 1 | sed 's,/$,,') || true
if [[ -z $mirror ]]; then
  echo "apt's configuration names no Debian mirror (debian.sources, sources.list)" >&2
  exit 1
fi
