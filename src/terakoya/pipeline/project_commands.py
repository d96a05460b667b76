"""Commands around a project: `terakoya list` and `new`, and the language that a config sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from terakoya import registry
from terakoya.config.schema import CODEC_NAMES, LOSS_NAMES
from terakoya.errors import TerakoyaError
from terakoya.errors.files import parse_toml, read_text
from terakoya.i18n import language
from terakoya.runs.environment import package_version
from terakoya.scoring.baselines.standard import BASELINES
from terakoya.scoring.metrics import METRICS


def configured_language(subject: str, overrides: Sequence[str] = ()) -> str:
    """The language that an experiment's or a run's config sets, read even where the rest of it is refused.

    subject    a run folder or an experiment
    overrides  KEY=VALUE settings, of which lang counts
    Returns "en", "ja", or "" where none is set.
    """
    overridden = [item.partition("=")[2] for item in overrides if item.startswith("lang=")]
    path = Path(subject) / "config.toml" if Path(subject).is_dir() else Path(subject)
    try:
        own = parse_toml(read_text(path), str(path)) if path.suffix == ".toml" else {}
    except TerakoyaError:  # reported where the experiment is opened
        own = {}
    return str(overridden[-1] if overridden else own.get("lang", ""))


def list_() -> dict[str, list[tuple[str, str]]]:
    """What a command or a config can name: experiments and sweeps, each with one sentence; tasks, models, metrics,
    codecs, losses and baselines, each with the package that brings it.
    """
    package = f"terakoya {package_version()}"
    ours = {"metrics": METRICS, "codecs": CODEC_NAMES, "losses": LOSS_NAMES, "baselines": BASELINES}
    brought = {
        kind: [*((name, package) for name in ours.get(kind, ())), *rows]
        for kind, rows in registry.installed_parts().items()
    }
    return {
        "experiments": [(found.name, found.description) for found in registry.experiments()],
        "series": list(registry.series()),
        **brought,
    }


def new(
    name: str,
    *,
    data: Path | None = None,
    encoding: str = "",
    source: str = "",
    target: str = "",
    codec: str = "",
    good_enough: float = 0.0,
    lang: str = "",
) -> list[Path]:
    """A folder with a config that runs as it is: for a table of one's own, or for the small one that comes with it.

    name      the folder to make; its last part names the files in it
    data      a table to look at; None makes one to start from
    encoding  of that table; "" is detected
    source    its column of inputs; "" is looked for
    target    its column of targets; "" is looked for
    codec     what its targets are: text, number, quantity, labels; "" is looked for
    good_enough  mean score on the exam that is good enough (score.good_enough); 0: none is set
    lang      language of the config's comments; by default the locale's
    Returns the paths of the files, the config first. Raises ConfigError where the folder exists, DataError where the
    table cannot be read.
    """
    from terakoya.pipeline import scaffold

    if data is None:
        made = scaffold.write(Path(name), language(lang))
    else:
        given = {"encoding": encoding, "source": source, "target": target, "codec": codec}
        made = scaffold.write_for_table(Path(name), data, given, language(lang))
    if good_enough:
        scaffold.set_good_enough(made[0], good_enough)
    return made
