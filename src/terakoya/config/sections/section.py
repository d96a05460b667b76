"""What all sections share: their base class, and types of settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from terakoya.config.secret_values import checked_text

Auto = Literal["auto"]
TextWithoutKey = Annotated[str, AfterValidator(checked_text)]  # a text in which a pasted API key is refused


class Section(BaseModel):
    """Base of all sections: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
