#!/bin/sh
# Sets up .venv with pinned packages: `scripts/setup.sh run` for using Terakoya, `scripts/setup.sh dev` for its tests.
# Idempotent: a stamp is written last, and names what was installed; an interrupted set-up simply goes on.
#
#   TORCH=cpu     the CPU build of PyTorch (the default where no NVIDIA driver is found)
#   TORCH=cuda    the build with CUDA (the default where one is found)
#   TORCH=…       whatever pip takes: a version, a wheel, an address
#   PYTHON=…      the Python to make .venv from
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

# Which build of PyTorch: the CUDA build draws gigabytes that a machine without an NVIDIA driver cannot use.
torch="${TORCH:-}"
if [ -z "$torch" ]; then
  torch=cuda
  if [ "$(uname -s)" = Linux ] && [ ! -e /proc/driver/nvidia/version ] && ! command -v nvidia-smi >/dev/null 2>&1; then
    torch=cpu
  fi
fi

stamp=".venv/.terakoya-$what"
now="$(cat pyproject.toml constraints.txt scripts/setup.sh | cksum) $torch"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && .venv/bin/python -c 'import terakoya' 2>/dev/null; then
  exit 0
fi

if ! .venv/bin/python -c 'import sys' 2>/dev/null; then
  echo "Making .venv with $("$python" --version)"
  rm -rf .venv
  "$python" -m venv .venv
fi

# pip, with one line for each larger download instead of silence or of hundreds of lines.
log=.venv/install.log
install() {
  if ! { .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt "$@" 2>>"$log" ||
    echo failed >>"$log.failed"; } | tee -a "$log" |
    sed -n -u -E -e 's#^ *(Downloading|Using cached) ([^ ]*/)?([A-Za-z0-9_.]+)-([0-9][^-]*)-[^ ]*\.whl[^(]*\(([0-9.]+ [MG]B)\).*#  \3 \4 (\5)#p' \
      -e 's#^Processing [^ ]*/([A-Za-z0-9_.]+)-([0-9][^-]*)-[^ ]*\.whl.*#  \1 \2#p' \
      -e 's#^Installing collected packages: .*#  unpacking#p'; then
    true
  fi
  if [ -e "$log.failed" ]; then
    rm -f "$log.failed"
    return 1
  fi
}
: >"$log"
rm -f "$log.failed"

started=$(date +%s)
echo "Installing pinned packages for '$what' (once; PyTorch: $torch)"
# torch first and alone: with it in place no other package draws a newer, larger build.
pin="$(sed -n 's/^torch==//p' constraints.txt)"
case "$torch" in
  cpu) # The configured index where it has the CPU build, else PyTorch's own.
    install "torch==$pin+cpu" 2>/dev/null ||
      install "torch==$pin+cpu" --extra-index-url https://download.pytorch.org/whl/cpu ||
      { echo "The CPU build of PyTorch was not found; taking the default one (TORCH=cuda skips this)." >&2
        install "torch==$pin"; } ;;
  cuda) install "torch==$pin" ;;
  [0-9]*) install "torch==$torch" ;;
  *) install "$torch" ;;
esac || { tail -n 20 "$log" >&2; echo "Set-up stopped: PyTorch could not be installed; pip's last words stand above." >&2; exit 1; }
extra=""
[ "$what" = dev ] && extra="[dev]"
install -e ".$extra" || { tail -n 20 "$log" >&2; echo "Set-up stopped; pip's last words stand above." >&2; exit 1; }
echo "Installed in $(($(date +%s) - started)) s: .venv has $(du -sm .venv | cut -f1) MB"
printf '%s\n' "$now" >"$stamp"
# Who can run the tests can run the rest.
[ "$what" = dev ] && printf '%s\n' "$now" >".venv/.terakoya-run"
exit 0
