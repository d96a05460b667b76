"""A training is resumed in the environment that it was started in, whatever names its settings had then."""

from __future__ import annotations

import pytest

from terakoya.config import make_config
from terakoya.training.guards.base import was_reported
from terakoya.training.reproducibility import environment_findings, environment_fingerprint, recorded_environment


@pytest.mark.parametrize("key", ["environment", "world"])
def test_a_checkpoint_of_any_format_is_resumed_under_the_present_names(key: str) -> None:
    """A renamed value is not another setting, and checkpoints of the first format have another key."""
    now = environment_fingerprint(make_config({}))
    names = {"train.loss_on": "answer", "decode.method": now["settings"]["decode.method"]}
    facts = {key: {**now, "settings": {**now["settings"], **names}}}
    assert environment_findings(recorded_environment(facts), now) == []


def test_another_setting_is_refused_and_nothing_recorded_is_no_difference() -> None:
    now = environment_fingerprint(make_config({}))
    facts = {"environment": {**now, "settings": {**now["settings"], "train.clip": 0.5}}}
    (finding,) = environment_findings(recorded_environment(facts), now)
    assert (finding.check, finding.level) == ("changed-settings", "stop") and "train.clip 0.5 → 1.0" in finding.what
    assert environment_findings(recorded_environment({}), now) == []


@pytest.mark.parametrize("key", ["reported", "told"])
def test_a_guard_that_reported_does_not_report_again_after_a_checkpoint_of_any_format(key: str) -> None:
    assert was_reported({key: True}) and not was_reported({key: False}) and not was_reported({})
