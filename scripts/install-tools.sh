#!/bin/sh
# Tools of the tests: iproute2, by which a test joins two hosts of its own, and strace, which measures the order of calls
# on the disk and lets single ones fail. Node, in which exported pages are proved. PostgreSQL, Slurm and munge, on which
# sweeps are tried. Does nothing where they are present, or where nobody may install them.
set -eu

missing=""
command -v ip >/dev/null 2>&1 || missing="iproute2"
command -v strace >/dev/null 2>&1 || missing="$missing strace"
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v slurmctld >/dev/null 2>&1 || missing="$missing slurm-wlm"
command -v munged >/dev/null 2>&1 || missing="$missing munge"
if [ -z "$missing" ] || [ "$(id -u)" -ne 0 ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Install $missing: a few tests need them." >&2
    exit 1
fi
echo "Installing $missing (once)" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # one word for each package
if ! { apt-get update -qq && env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt-get could not install $missing; its last words stand above." >&2
    exit 1
fi
