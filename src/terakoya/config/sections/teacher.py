"""Section [teacher]: the teacher that generates data, or several, their limits and their prices."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from terakoya.config.secret_values import checked_url, checked_variable
from terakoya.config.sections.section import Section, TextWithoutKey
from terakoya.config.teacher_request import checked_extra, checked_headers, checked_pool, checked_rates
from terakoya.i18n import _


class TeacherSettings(Section):
    """Settings of one teacher: who it is, its limits and its prices."""

    kind: Literal["api", "rules", "lexicon"] = Field(
        default="api",
        description=_(
            "The teacher: a large model behind an OpenAI-compatible API, or, free and offline, the recipe's rules or "
            "the emoji lexicon."
        ),
    )
    base_url: str = Field(default="https://openrouter.ai/api/v1", description=_("Address of the API."))
    model: TextWithoutKey = Field(
        default="",
        description=_('Name of the model at the provider; required for the kind "api".'),
    )
    key_variable: str = Field(
        default="OPENROUTER_API_KEY",
        description=_('Name of the environment variable that holds the API key, never the key itself. "": no key.'),
    )
    licence: TextWithoutKey = Field(
        default="",
        description=_(
            "Terms under which the teacher's output may be trained on: a licence name or an address. Required unless "
            "--i-have-the-right is given."
        ),
    )
    budget: float = Field(
        default=0.0,
        ge=0,
        description=_(
            "Spending cap in `teacher.currency`; it is never exceeded. 0: none, then `teacher.requests` is required."
        ),
    )
    requests: int = Field(
        default=0,
        ge=0,
        description=_("Largest number of requests. 0: no limit, then `teacher.budget` is required."),
    )
    price_in: float = Field(
        default=-1.0,
        ge=-1,
        description=_("Price of one million prompt tokens. 0: free. -1: not known."),
    )
    price_out: float = Field(
        default=-1.0,
        ge=-1,
        description=_("Price of one million response tokens. 0: free. -1: not known."),
    )
    batch: int = Field(
        default=0,
        ge=0,
        le=50_000,
        description=_(
            "Largest number of requests in one batch of the provider's batch interface, which is slower and cheaper; "
            "as many sentences are planned at once. 0: requests are sent one by one."
        ),
    )
    batch_price: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description=_("Price of a request in a batch, as a share of `teacher.price_in` and `teacher.price_out`."),
    )
    max_concurrent: int = Field(default=64, ge=1, description=_("Largest number of requests pending at once."))
    requests_per_minute: int = Field(
        default=0,
        ge=0,
        description=_("Rate limit in requests per minute. 0: none."),
    )
    tokens_per_minute: int = Field(
        default=0,
        ge=0,
        description=_("Rate limit in tokens per minute. 0: none."),
    )
    max_tokens: int = Field(default=256, ge=1, description=_("Largest number of tokens of a response."))
    max_tokens_name: str = Field(
        default="max_tokens",
        pattern=r"^[A-Za-z_]\w*$",
        description=_(
            "Field of the request that carries `teacher.max_tokens`; some models take only max_completion_tokens."
        ),
    )
    temperature: Annotated[float, Field(ge=0)] | Literal["unset"] = Field(
        default=0.7,
        description=_(
            "Sampling temperature of the teacher. unset: it is not sent, for models that accept only their own."
        ),
    )
    thinking: Literal["reject", "strip"] = Field(
        default="reject",
        description=_(
            "A response with the model's thinking in its text: reject it, or strip the thinking in front of the "
            "output. An empty thinking block is always dropped."
        ),
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description=_(
            "Further fields of every request's body, as a table: reasoning effort, chat template arguments, provider "
            "routing. {}: none."
        ),
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description=_(
            "Further HTTP headers of every request, as a table. ${NAME} in a value is the environment variable NAME. "
            "{}: none."
        ),
    )
    deadline: float = Field(
        default=60.0,
        gt=0,
        description=_("Wall-clock limit of one request in seconds."),
    )
    attempts: int = Field(
        default=5,
        ge=1,
        description=_("Attempts per request before it is abandoned."),
    )
    hedge: bool = Field(
        default=False,
        description=_("Send a second request where the first is far slower than usual; both may be charged."),
    )

    @field_validator("key_variable")
    @classmethod
    def _name_of_a_variable(cls, name: str) -> str:
        return checked_variable(name)

    @field_validator("base_url")
    @classmethod
    def _without_password(cls, url: str) -> str:
        return checked_url(url)

    @field_validator("extra")
    @classmethod
    def _only_further_fields(cls, extra: dict[str, Any]) -> dict[str, Any]:
        return checked_extra(extra)

    @field_validator("headers")
    @classmethod
    def _only_legal_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        return checked_headers(headers)


class PooledTeacher(TeacherSettings):
    """One of several teachers. A setting that is left out is that of [teacher]; `budget` and `requests` are its own."""

    weight: float = Field(
        default=1.0,
        ge=0,
        allow_inf_nan=False,
        description=_(
            "Its share of the rows, in proportion to the weights of all teachers. 0: no row that has not begun with it."
        ),
    )

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only what was written: everything else follows [teacher]."""
        return {key: value for key, value in dump(self).items() if key in self.model_fields_set}


class TeacherConfig(TeacherSettings):
    """The teacher that generates data, or several, their limits and their prices."""

    pool: dict[str, PooledTeacher] = Field(
        default_factory=dict,
        description=_(
            "Several teachers for one data set, as tables `[teacher.pool.NAME]`. Each may hold `weight` (its share of "
            "the rows, by default 1; 0: no new rows), a `budget` and `requests` of its own, and every setting of who a "
            "teacher is, how it is sent requests and what it costs (from `kind` to `hedge`); what it leaves out is "
            "that of [teacher]. {}: one teacher, [teacher] itself."
        ),
    )
    fallback: bool = Field(
        default=False,
        description=_(
            "Whether rows of a teacher in `teacher.pool` that is exhausted or down go to the others. false: they stay "
            "open, and the same command requests them again."
        ),
    )
    recipe: TextWithoutKey = Field(
        default="",
        description=_("Name of a recipe that ships, or a folder with recipe.toml and prompt files."),
    )
    sources: TextWithoutKey = Field(
        default="",
        description=_(
            'Source sentences: "ours" (the shipped corpus), "hand", "phrases", a path (.txt or a table), or '
            '"hub:owner/name". "": the recipe\'s own.'
        ),
    )
    exclude: tuple[str, ...] = Field(
        default=(),
        description=_("Earlier data sets whose source sentences are not used again. []: none."),
    )
    samples: int = Field(default=1000, ge=1, description=_("Number of rows to generate."))
    currency: TextWithoutKey = Field(default="USD", description=_("Currency of budget and prices."))
    rates: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default_factory=dict,
        description=_(
            "Exchange rates for a provider that reports costs in another currency, as a table of codes: units of "
            "`teacher.currency` for one unit of the other. Costs in a currency without a rate are refused. {}: none."
        ),
    )
    banned: tuple[str, ...] = Field(default=(), description=_("Labels that are never accepted. []: none."))
    labels: tuple[str, ...] = Field(
        default=(),
        description=_("The closed label set. []: the recipe's own, else any label."),
    )
    quota: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description=_("Largest share of one label among all label uses. 0: no limit."),
    )
    density: int = Field(
        default=0,
        ge=0,
        description=_(
            "Uses of each label of the closed set at which generation is complete. 0: only `teacher.samples` counts."
        ),
    )
    max_rejected: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description=_("Share of rejected rows at which generation stops before more is spent."),
    )

    @field_validator("rates")
    @classmethod
    def _by_code(cls, rates: dict[str, float]) -> dict[str, float]:
        return checked_rates(rates)

    @field_validator("pool")
    @classmethod
    def _by_usable_names(cls, pool: dict[str, PooledTeacher]) -> dict[str, PooledTeacher]:
        return checked_pool(pool)
