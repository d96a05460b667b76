#!/bin/sh
# Sets up .venv with pinned packages: `scripts/setup.sh run` for using Terakoya, `scripts/setup.sh dev` for its tests.
# Idempotent: a stamp is written last, and names what was installed; an interrupted set-up simply goes on.
set -eu
cd "$(dirname "$0")/.."
what="${1:-run}"
case "$what" in run|dev) ;; *) echo "usage: scripts/setup.sh run|dev" >&2; exit 2 ;; esac

python="${PYTHON:-}"
if [ -z "$python" ]; then
  for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      python="$candidate"
      break
    fi
  done
fi
if [ -z "$python" ]; then
  echo "Set-up stopped: Python 3.11, 3.12 or 3.13 is needed and none was found on the PATH." >&2
  echo "Install it (Debian: apt-get install python3 python3-venv), or name one: PYTHON=/path/to/python3.11 make run" >&2
  exit 2
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
  echo "Set-up stopped: this Python has no venv. Debian: apt-get install python3-venv" >&2
  exit 2
fi
if [ "$what" = dev ] && ! command -v gcc >/dev/null 2>&1 && ! command -v cc >/dev/null 2>&1; then
  echo "Set-up stopped: a C compiler is needed for the tests. Debian: apt-get install gcc" >&2
  exit 2
fi

stamp=".venv/.terakoya-$what"
now="$(cat pyproject.toml constraints.txt scripts/setup.sh | cksum)"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && .venv/bin/python -c 'import terakoya' 2>/dev/null; then
  exit 0
fi

if ! .venv/bin/python -c 'import sys' 2>/dev/null; then
  echo "Making .venv with $("$python" --version)"
  rm -rf .venv
  "$python" -m venv .venv
fi
echo "Installing pinned packages for '$what' (once; a few minutes on a slow line)"
# torch first and alone: with it in place no other package draws a newer, larger build.
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
extra=""
[ "$what" = dev ] && extra="[dev]"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".$extra"
printf '%s\n' "$now" >"$stamp"
# Who can run the tests can run the rest.
[ "$what" = dev ] && printf '%s\n' "$now" >".venv/.terakoya-run"
exit 0
