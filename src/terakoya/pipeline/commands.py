"""One function per command, each the body of the command of the same name, gathered from the modules by subject."""

from __future__ import annotations

from terakoya.pipeline.data_commands import SplitSummary, audit, generate, split
from terakoya.pipeline.doctor import DoctorReport, doctor
from terakoya.pipeline.measure_commands import calibrate, codec_for_tables, compare, curve, evaluate, ladder, paper
from terakoya.pipeline.project_commands import configured_language, list_, new
from terakoya.pipeline.skill_commands import export, predict, serve

__all__ = [
    "DoctorReport", "SplitSummary", "audit", "calibrate", "codec_for_tables", "compare", "configured_language", "curve",
    "doctor", "evaluate", "export", "generate", "ladder", "list_", "new", "paper", "predict", "serve", "split",
]  # fmt: skip
