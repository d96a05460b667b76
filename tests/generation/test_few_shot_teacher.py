"""A teacher on a ladder of models: it takes the exam only where it may be paid, and its price is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from faulty_server import ServerPlan, running

from terakoya.pipeline import commands


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    rows = "".join(f"{n}番,{n}\n" for n in range(120))
    (tmp_path / "n.csv").write_text("source,target\n" + rows, encoding="utf-8")
    config = '[task]\ndata = "n.csv"\n[split]\nmethod = "exact"\ndev = 0.2\nexam = 0.2\n'
    (tmp_path / "n.toml").write_text(config, encoding="utf-8")
    return tmp_path / "n.toml"


def test_a_teacher_takes_the_exam_only_where_it_may_be_paid(experiment: Path, tmp_path: Path) -> None:
    """Its requests cost money: without --teacher none is sent, with it the price of 1,000 predictions is known."""

    def digits(request: dict) -> str:  # type: ignore[type-arg]
        return str(request["messages"][-1]["content"]).removesuffix("番")

    with running(ServerPlan(response=digits, cost=0.002)) as server:
        settings = ["teacher.model=large", f"teacher.base_url={server.url}", "teacher.key_variable=",
                    "teacher.requests=500", "teacher.price_in=0", "teacher.price_out=0"]  # fmt: skip
        free = commands.ladder(str(experiment), overrides=settings, sizes=[], run_dir=tmp_path)
        left_out = next(rung for rung in free.rungs if "teacher large" in rung.name)
        assert "--teacher" in left_out.note
        assert server.requests() == 0
        paid = commands.ladder(str(experiment), overrides=settings, sizes=[], teacher=True, run_dir=tmp_path)
        rung = next(rung for rung in paid.rungs if "teacher large" in rung.name)
        assert rung.exam == 1.0
        assert rung.price == pytest.approx(1000 * 0.002)
        assert server.requests() == paid.items + paid.dev_items
        assert paid.chosen == rung.name


def test_a_teacher_whose_limit_is_reached_is_left_out_with_the_reason(experiment: Path, tmp_path: Path) -> None:
    with running(ServerPlan(response=lambda request: "1", cost=0.002)) as server:
        settings = ["teacher.model=large", f"teacher.base_url={server.url}", "teacher.key_variable=",
                    "teacher.requests=5", "teacher.price_in=0", "teacher.price_out=0"]  # fmt: skip
        found = commands.ladder(str(experiment), overrides=settings, sizes=[], teacher=True, run_dir=tmp_path)
        rung = next(rung for rung in found.rungs if "teacher large" in rung.name)
        assert rung.state == "left out"
        assert rung.note
        assert server.requests() <= 5
