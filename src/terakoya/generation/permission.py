"""Every objection to spending, raised before the first request: for each teacher, with its section and key."""

from __future__ import annotations

import json
import os
import re
from typing import Any
from urllib.parse import urlsplit

from terakoya.config import Config, TeacherConfig
from terakoya.errors import ConfigError
from terakoya.generation.configured import ConfiguredTeacher, configured_teachers
from terakoya.i18n import _, joined
from terakoya.records import Finding

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def require_permission_to_spend(config: Config, i_have_the_right: bool) -> None:
    """Refuse, with all reasons at once, what must not be sent or paid for.

    config            the whole config; `teacher` is used
    i_have_the_right  the user vouches for training on this teacher's output
    Raises ConfigError.
    """
    faults = spending_faults(config, i_have_the_right)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ConfigError(
            joined("\n", (fault.message for fault in faults)),
            do=_("Correct these in [teacher]; docs/settings.md lists every setting."),
        )


def spending_faults(config: Config, i_have_the_right: bool = False) -> list[ConfigError]:
    """What is wrong with the teachers of a config, each fault with its section and key; nothing is sent.

    config            the whole config; `teacher` is used
    i_have_the_right  the user vouches for training on these teachers' output
    """
    faults = _pool_faults(config.teacher)
    for one in configured_teachers(config.teacher):
        if one.config.kind == "api":
            faults += _teacher_faults(one, config.teacher, i_have_the_right)
    return faults


def teacher_findings(config: Config) -> list[Finding]:
    """What `spending_faults` finds in the teachers of a config that names any, as findings; nothing is sent.

    config  the whole config; `teacher` is used
    """
    teacher = config.teacher
    if not (teacher.pool or teacher.model or teacher.recipe):
        return []
    return [Finding("teacher", "warn", one.what, where=one.where, do=one.do) for one in spending_faults(config)]


def _pool_faults(teacher: TeacherConfig) -> list[ConfigError]:
    """Settings of several teachers that mean nothing."""
    faults = []
    if teacher.pool and not any(one.weight for one in teacher.pool.values()):
        faults.append(
            ConfigError(
                _("no teacher has a weight above 0, so no row would be made"),
                where="[teacher.pool]",
                do=_("Write weight = 1 for at least one of {names}.", names=", ".join(teacher.pool)),
            )
        )
    if teacher.fallback and len(teacher.pool) < 2:
        faults.append(
            ConfigError(
                _("{key} has no effect where there is only one teacher", key="teacher.fallback"),
                where="[teacher]",
                do=_("Leave {key} out.", key="teacher.fallback"),
            )
        )
    return faults


def _teacher_faults(one: ConfiguredTeacher, whole: TeacherConfig, i_have_the_right: bool) -> list[ConfigError]:
    teacher, where = one.config, one.section
    faults = []
    if not teacher.model:
        faults.append(
            ConfigError(
                _("no model is named"),
                where=where,
                do=_('Write model = "…".'),
            )
        )
    if fault := _address_fault(teacher.base_url, where):
        faults.append(fault)
    if not teacher.licence and not i_have_the_right:
        faults.append(
            ConfigError(
                _("the terms for training on this teacher's output are not stated"),
                where=where,
                do=_(
                    'Many providers forbid it. Read their terms and write licence = "…" (its name or address), '
                    "or pass --i-have-the-right, which is recorded."
                ),
            )
        )
    budget = teacher.budget or whole.budget
    if not budget and not teacher.requests and not whole.requests:
        faults.append(
            ConfigError(
                _("no limit on spending is set"),
                where=where,
                do=_("Write budget = … (money) or requests = … (a number)."),
            )
        )
    if budget and min(teacher.price_in, teacher.price_out) < 0:
        faults.append(unknown_price(where))
    return [*faults, *_borrowed_key_faults(one, whole), *_key_faults(teacher, where), *_batch_faults(one)]


def _borrowed_key_faults(one: ConfiguredTeacher, whole: TeacherConfig) -> list[ConfigError]:
    """A key of one provider is never sent to another one because a line was forgotten."""
    host, shared = urlsplit(one.config.base_url).hostname, urlsplit(whole.base_url).hostname
    if "base_url" not in one.written or host == shared:
        return []
    borrowed = [key for key in ("headers", "extra") if referenced_variables(getattr(one.config, key))]
    if one.config.key_variable and not _is_local(one.config.base_url):
        borrowed.insert(0, "key_variable")
    return [
        ConfigError(
            _("{key} is that of [teacher], and its key would be sent to another provider, {host}", key=key, host=host),
            where=one.section,
            do=_("Write {key} in {section} as well, for this provider.", key=key, section=one.section),
        )
        for key in borrowed
        if key not in one.written
    ]


def _batch_faults(one: ConfiguredTeacher) -> list[ConfigError]:
    """Settings of single requests that mean nothing for requests in batches."""
    if not one.config.batch:
        return []
    # A limit that [teacher] sets for all of several is not meant for the one that sends batches.
    idle = [
        f"{one.prefix}.{name}"
        for name in ("hedge", "requests_per_minute", "tokens_per_minute")
        if getattr(one.config, name) and (not one.name or name in one.written)
    ]
    return [
        ConfigError(
            _("{key} has no effect on requests that are sent in batches", key=key),
            where=one.section,
            do=_("Leave {key} out.", key=key),
        )
        for key in idle
    ]


def _address_fault(base_url: str, where: str) -> ConfigError | None:
    """What keeps `base_url` from being the address of an API; its user names and keys are refused when it is read."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(char.isspace() for char in base_url):
        return ConfigError(
            _("'{base_url}' is no address of an API", base_url=base_url),
            where=f"{where} base_url",
            do=_(
                "Write it with https:// or http://, as in base_url = {example}.",
                example='"https://openrouter.ai/api/v1"',
            ),
        )
    if parts.path.rstrip("/").endswith("/completions"):
        shorter = base_url.split("/chat/completions")[0].removesuffix("/completions")
        return ConfigError(
            _("base_url names the method as well, which is added to it"),
            where=f"{where} base_url",
            do=_('Write base_url = "{shorter}".', shorter=shorter),
        )
    return None


def _key_faults(teacher: TeacherConfig, where: str) -> list[ConfigError]:
    """What is wrong with the environment variables that hold keys; their values are never shown."""
    faults = []
    referenced = referenced_variables((teacher.extra, teacher.headers))
    key = {teacher.key_variable: os.environ.get(teacher.key_variable, "")} if teacher.key_variable else {}
    for variable, value in {**key, **referenced}.items():
        if not value and (variable in referenced or not _is_local(teacher.base_url)):
            faults.append(
                ConfigError(
                    _("the environment variable {variable} is not set", variable=variable),
                    where=where,
                    do=_("Set it to your API key: export {variable}=…", variable=variable),
                )
            )
        elif any(not "!" <= char <= "~" for char in value):
            faults.append(
                ConfigError(
                    _(
                        "the environment variable {variable} holds white space or a character that no key contains",
                        variable=variable,
                    ),
                    where=where,
                    do=_(
                        "Set it to the key alone, without line break or quotation marks: export {variable}=…",
                        variable=variable,
                    ),
                )
            )
    return faults


def referenced_variables(values: Any) -> dict[str, str]:
    """The environment variables that `values` refer to as ${NAME}, with their content."""
    return {name: os.environ.get(name, "") for name in REFERENCE.findall(json.dumps(values, ensure_ascii=False))}


def unknown_price(where: str) -> ConfigError:
    """The refusal of a budget while price_in or price_out is unknown in the section `where`."""
    return ConfigError(
        _("the model's price is not known, so no budget can be enforced"),
        where=where,
        do=_("Write price_in and price_out, each per million tokens (0 where it is free)."),
    )


def _is_local(base_url: str) -> bool:
    """Whether the host itself is this machine: one whose name only begins like it is not."""
    return urlsplit(base_url).hostname in {"127.0.0.1", "localhost", "::1"}
