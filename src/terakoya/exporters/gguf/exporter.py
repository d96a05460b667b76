"""Target "gguf": causal pretrained skills for llama.cpp, Ollama and LM Studio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from terakoya.exporters.engine_skill import EngineSkill, sequence_obstacle
from terakoya.exporters.exporter import Exporter, ExportOptions
from terakoya.exporters.gguf.grammar import codec_grammar
from terakoya.exporters.gguf.vocabulary import vocabulary_obstacle
from terakoya.exporters.gguf.weights import DEFAULT, QUANTISATIONS, config_obstacle
from terakoya.exporters.skill_files import (
    FOLDER,
    OpenedSkill,
    need_runtime,
    read_skill_files,
    verify_artifact,
    write_skill_files,
)
from terakoya.i18n import _
from terakoya.models.pretrained.prompt_files import read_prompts, write_prompt_files
from terakoya.models.protocol import Query
from terakoya.runs import write_text
from terakoya.saved_model import Skill

_MODEL, _GRAMMAR, _SETTINGS = "model.gguf", "grammar.gbnf", "gguf.json"
_SOURCE = "一二三"  # stands for a text in the template


class GgufExporter(Exporter):
    """Writes a GGUF file with a Modelfile and a grammar beside it, and predicts with llama.cpp's own server."""

    name = "gguf"
    takes = ("quantisation", "converter")

    def obstacle(self, skill: Skill) -> str | None:
        """Why this `skill` cannot become a GGUF file; None where it can."""
        found = _engine_obstacle(skill)
        if found is not None:
            return found
        model: Any = skill.model
        config = model.core.config.get_text_config()
        return config_obstacle(config) or vocabulary_obstacle(model.tokenizer.backend.to_str())

    def obstacle_with(self, skill: Skill, options: ExportOptions) -> str | None:
        """As `obstacle`; with a converter of `options` it decides what it can write of a `skill`."""
        return _engine_obstacle(skill) if options.converter is not None else self.obstacle(skill)

    def write(self, skill: Skill, folder: Path, options: ExportOptions) -> Path:
        """Write model.gguf, Modelfile and, where the codec has one, grammar.gbnf.

        skill    the trained skill
        folder   in which the artifact is made
        options  quantisation: q8_0 (the default), f16, f32, q4_0; converter: llama.cpp's own, in place of ours
        Returns the artifact's folder. Raises ConfigError for another quantisation or a failing converter.
        """
        from terakoya.exporters.gguf.converter import adds_bos, run_converter, write_gguf

        kind = options.number_format(QUANTISATIONS, DEFAULT)
        artifact, model = folder / "model", skill.model
        (artifact / FOLDER).mkdir(parents=True)
        if options.converter is not None:
            run_converter(options.converter, model, artifact / _MODEL, kind)
        else:
            write_gguf(model, artifact / _MODEL, skill.task.name, kind)
        write_prompt_files(model, artifact / FOLDER)
        bos = adds_bos(model)
        write_text(artifact / FOLDER / _SETTINGS, json.dumps({"adds_bos": bos}))
        write_text(artifact / "Modelfile", modelfile(skill, bos))
        if grammar := _grammar(skill):
            write_text(artifact / _GRAMMAR, grammar)
        write_skill_files(skill, artifact, [_MODEL])
        return artifact

    def open(self, artifact: Path) -> OpenedSkill:
        """The skill of an `artifact`. Raises CorruptError where a file has changed since it was written."""
        from terakoya.exporters.gguf.server import LlamaServer

        xllamacpp = need_runtime("xllamacpp", extra="gguf")
        verify_artifact(artifact)
        settings = json.loads((artifact / FOLDER / _SETTINGS).read_text(encoding="utf-8"))
        grammar = artifact / _GRAMMAR
        text = grammar.read_text(encoding="utf-8") if grammar.is_file() else ""
        server = LlamaServer(artifact / _MODEL, read_prompts(artifact / FOLDER), text, settings["adds_bos"])
        runtime = f"llama.cpp (xllamacpp {xllamacpp.__version__})"
        return OpenedSkill(read_skill_files(artifact, server, EngineSkill), runtime)

    def usage(self, artifact: Path) -> tuple[str, ...]:
        """The lines of the README that call an `artifact`, and what a bare server cannot give."""
        place = artifact.as_posix()
        return (
            "from pathlib import Path",
            "from terakoya.exporters.gguf.exporter import GgufExporter",
            f'skill = GgufExporter().open(Path("{place}"))',
            'print(skill.predict(["…"])[0].text)',
            "# A bare server returns raw text; the codec that reads it, withholding and calibration are Terakoya's.",
            f"#   llama-server -m {place}/{_MODEL}    # POST /completion: prompt as in Modelfile, temperature 0,",
            f"#                                        and the grammar of {_GRAMMAR} where there is one",
            f"#   ollama create my-skill -f {place}/Modelfile",
        )


def _engine_obstacle(skill: Skill) -> str | None:
    """Why llama.cpp's server cannot predict for this skill, whoever converts it."""
    model: Any = skill.model
    found = sequence_obstacle(skill)
    if found is None and model.family != "decoder":
        return _("llama.cpp's server runs causal models, and this one is an encoder-decoder; it goes to ct2")
    return found


def modelfile(skill: Skill, adds_bos: bool) -> str:
    """What Ollama needs beside the weights: the prompt, where it ends, and greedy decoding.

    skill     the trained skill
    adds_bos  whether llama.cpp puts begin-of-text before a prompt by itself
    """
    prompt = skill.model.prompt  # type: ignore[attr-defined]
    tokenizer = prompt.tokenizer
    text = prompt.text(Query(_SOURCE))
    if adds_bos and tokenizer.hf_tokenizer.bos_token:
        text = text.removeprefix(tokenizer.hf_tokenizer.bos_token)
    template = text.replace(_SOURCE, "{{ .Prompt }}")
    end = tokenizer.backend.id_to_token(prompt.end)
    lines = [
        f"FROM ./{_MODEL}",
        f'TEMPLATE """{template}"""',
        f"PARAMETER stop {json.dumps(end, ensure_ascii=False)}",
        "PARAMETER temperature 0",
        f"PARAMETER num_predict {skill.max_tokens + 1}",
    ]
    return "\n".join(lines) + "\n"


def _grammar(skill: Skill) -> str:
    return codec_grammar(skill.task.codec) if skill.config.decode.constrained else ""
