"""The checks for task functions: a wrong option is refused before anything is drawn."""

from __future__ import annotations

import pytest

from terakoya.config import SplitConfig
from terakoya.errors import ConfigError
from terakoya.i18n import Recorded, in_language
from terakoya.tasks.emoji import task as emoji
from terakoya.tasks.options import hash_split_config, require_count, require_flag, require_one_of, require_unset

THINGS = Recorded("poems", {"ja": "詩"})


def test_good_options_pass() -> None:
    require_count(items=0, seed=7)
    require_flag(promote=False)
    require_one_of("regime", 160, ("drawn", "160"))  # a number in TOML
    require_unset(items=0, forms=())
    assert hash_split_config(None, THINGS).method == "hash"


@pytest.mark.parametrize("value", [-1, 1.5, "2", True, None])
def test_a_count_is_a_whole_number(value: object) -> None:
    with pytest.raises(ConfigError, match="'items' cannot be"):
        require_count(items=value)


def test_wrong_options_are_named_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="true or false"):
        require_flag(promote="yes")
    with pytest.raises(ConfigError, match="drawn"):
        require_one_of("regime", "drown", ("drawn", "160"))
    with pytest.raises(ConfigError, match="'items' has no effect"):
        require_unset(items=5)


@pytest.mark.parametrize("changed", [{"method": "tail"}, {"folds": 5}, {"dev": 0.0}, {"exam": 0.0}])
def test_what_is_drawn_without_end_is_split_by_hash(changed: dict[str, object]) -> None:
    """A list that never ends cannot be cut; and without dev or exam nothing can be evaluated."""
    with pytest.raises(ConfigError, match="poems") as refused:
        hash_split_config(SplitConfig.model_validate(changed), THINGS)
    assert "詩" in in_language(refused.value.what, "ja")


def test_the_older_name_of_a_label_set_is_understood() -> None:
    """Configs that users have say labels = "taught"."""
    older, newer = (emoji(data="v1", exam="held-out", labels=name, samples=100) for name in ("taught", "training"))
    assert older.codec == newer.codec
