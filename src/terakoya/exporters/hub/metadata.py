"""The metadata of a README, by which the Hub finds, filters and links a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya.config.reading import is_path
from terakoya.errors import need
from terakoya.i18n import _
from terakoya.models.pretrained.gguf_files import is_gguf
from terakoya.saved_model import Skill

if TYPE_CHECKING:
    from terakoya.exporters.proof import Proof

_UNKNOWN = "unknown"


def hub_metadata(skill: Skill, proof: Proof) -> Any:
    """The metadata as huggingface_hub has it, with the exam's value after the export as the result.

    skill  the trained skill
    proof  of the export
    """
    hub = need("huggingface_hub", extra="hub")
    metadata = getattr(skill.model, "metadata", None)
    tag = _pipeline_tag(skill)
    values: dict[str, Any] = {
        "language": "ja",
        "library_name": "transformers" if metadata is not None else "terakoya",
        "pipeline_tag": tag,
        "tags": ["terakoya", skill.task.name],
    }
    if metadata is not None:
        licence = base_licence(metadata.base)
        values |= {"license": licence} if licence else {"license": "other", "license_name": _UNKNOWN}
        if not is_path(metadata.base):
            values["base_model"] = metadata.base
    if proof.after is not None:
        values["model_name"] = skill.task.name
        values["eval_results"] = [
            hub.EvalResult(
                task_type=tag, dataset_type=skill.task.name, dataset_name=f"{skill.task.name} exam (n = {proof.n})",
                metric_type=proof.metric, metric_value=round(proof.after, 6),
            )
        ]  # fmt: skip
    return hub.ModelCardData(**values)


def with_metadata(text: str, metadata: Any) -> str:
    """A README with the Hub's metadata before it, and with what must be known of the licence behind it.

    text      of the README
    metadata  of `hub_metadata`
    """
    licence = metadata.to_dict().get("license")
    if metadata.to_dict().get("license_name") == _UNKNOWN:
        note = _("The licence of the base model is not recorded: look it up before you share this model.")
    elif licence:
        note = _("The base model's licence is '{licence}': it applies to this model too.", licence=licence)
    else:
        return f"---\n{metadata.to_yaml()}\n---\n{text}"
    return f"---\n{metadata.to_yaml()}\n---\n{text}\n{note}\n"


def base_licence(base: str) -> str:
    """The licence that a local base names, in the metadata of its README or of its GGUF file; "" where it names none.

    base  Hub name, folder or file
    """
    folder = Path(base)
    if is_gguf(folder) and folder.is_file():
        reader = need("gguf", extra="hub").GGUFReader(folder)
        field = reader.fields.get("general.license")
        return str(field.contents()) if field is not None else ""
    readme = folder / "README.md"
    if not readme.is_file():
        return ""
    found = need("huggingface_hub", extra="hub").metadata_load(readme) or {}
    return str(found.get("license") or "")


def _pipeline_tag(skill: Skill) -> str:
    if skill.model.head == "set":
        return "text-classification"
    return "text2text-generation" if getattr(skill.model, "family", "") == "encoder-decoder" else "text-generation"
