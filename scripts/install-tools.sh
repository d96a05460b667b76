#!/bin/sh
# iproute2, by which a test joins two hosts of its own. Does nothing where it is present, or where nobody may use it.
set -eu

if command -v ip >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Install iproute2: one test makes network namespaces with it." >&2
    exit 1
fi
echo "Installing iproute2 (once)" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update -qq && env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt-get could not install iproute2; its last words stand above." >&2
    exit 1
fi
