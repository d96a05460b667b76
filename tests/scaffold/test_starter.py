"""What `terakoya new NAME` writes without a table of one's own: it runs as it is, and is learned."""

from __future__ import annotations

from pathlib import Path

from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline


def test_the_starter_is_learned(tmp_path: Path) -> None:
    """The first run of a newcomer ended in 'cannot be told with 13 items'."""
    config = commands.new(str(tmp_path / "times"), lang="en")[0]
    found = commands.audit(str(config))
    assert not [finding for finding in found if finding.level == "stop"]
    done = pipeline.run(str(config), run_dir=tmp_path / "runs")
    assert done.exit_code == 0
    assert done.words["en"].startswith("Learned")
