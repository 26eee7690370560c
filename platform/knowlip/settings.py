"""Settings of a job: one frozen model, filled from flags, then ``--config``, then the environment, then defaults."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as CliError

from knowlip.errors import SettingsError
from knowlip.manifest import digest
from knowlip.workspace import Workspace

__all__ = ["JobSettings", "Section", "read_settings", "read_yaml"]


_TESTS_DATA = "knowlip_data"
"""Where the tests find real radar data; a job's ``--data`` is something else."""


class Section(BaseModel):
    """A group of settings inside a job's (``--tiling.extent-m``)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class JobSettings(BaseSettings):
    """What every job takes.

    A subclass adds its own fields and sections. Lists take several values (``--scenes a.tif b.tif``). Secrets are never
    settings: they are read from the environment where they are used.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="KNOWLIP_",
        env_nested_delimiter="__",
        use_attribute_docstrings=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
        cli_hide_none_type=True,
        cli_implicit_flags=True,
        cli_kebab_case="all",
        nested_model_default_partial_update=True,
    )

    unshaping: ClassVar[frozenset[str]] = frozenset({"workspace", "dry_run", "overwrite", "strict"})
    """Fields that change how a job runs and not what it makes; left out of the recipe."""

    short_flags: ClassVar[dict[str, str]] = {}
    """Flags that stand for longer ones (``--scenes`` for ``--scenes.paths``)."""

    workspace: str = "workspace"
    """Root of all artefacts: a folder, or a URI such as s3://bucket/prefix."""

    dry_run: bool = False
    """Print what would be done and how much, and do nothing."""

    overwrite: bool = False
    """Replace an artefact that was made with other settings."""

    strict: bool = False
    """Stop at the first bad input (exit code 2) instead of setting it aside."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave the variable of the tests out of what the environment sets."""
        if isinstance(env_settings, EnvSettingsSource):
            variables = env_settings.env_vars
            env_settings.env_vars = {name: text for name, text in variables.items() if name != _TESTS_DATA}
        return super().settings_customise_sources(
            settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
        )

    def opened(self) -> Workspace:
        """Return the workspace."""
        return Workspace(self.workspace)

    def shaping(self) -> dict[str, Any]:
        """Return the settings that shape the result, as JSON-like values."""
        return self.model_dump(mode="json", exclude=set(self.unshaping))

    def recipe(self) -> str:
        """Return a short digest of the shaping settings, the same on every machine."""
        return digest(self.shaping())[:8]

    @classmethod
    def filled(cls, values: Mapping[str, Any], *, where: str, fix: str = "mend it") -> Self:
        """Return settings of values from somewhere else than a command line.

        Args:
            values: By name.
            where: Where they come from.
            fix: What to do about a wrong one.

        Raises:
            SettingsError: One is unknown or out of range: one line naming the field, the value and what is allowed.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise SettingsError(_explain(cls, error), where=where, fix=fix) from error

    def revised(self, **changes: Any) -> Self:
        """Return a validated copy with some fields changed."""
        return type(self).model_validate({**self.model_dump(exclude_unset=True), **changes})


SettingsT = TypeVar("SettingsT", bound=JobSettings)


def read_settings(kind: type[SettingsT], argv: Sequence[str], *, prog: str) -> SettingsT:
    """Fill a job's settings from a command line.

    Args:
        kind: The job's settings model.
        argv: Arguments, without the program's name. ``--config FILE`` names a YAML file.
        prog: What ``--help`` calls the program.

    Raises:
        SettingsError: A setting is unknown or out of range: one line naming the field, the value and what is allowed.
    """
    argv, config = _take_config(list(argv))
    values = read_yaml(config) if config else {}
    try:
        source: CliSettingsSource[Any] = CliSettingsSource(
            kind, cli_prog_name=prog, cli_parse_args=_spell_out(argv, kind.short_flags)
        )
        return kind(_cli_settings_source=source, **values)
    except SystemExit as ended:
        if not ended.code:
            sys.stdout.write(_more_help(kind))
        raise
    except ValidationError as error:
        raise SettingsError(_explain(kind, error), where=prog, fix="see --help") from error
    except CliError as error:
        raise SettingsError(_explain_flag(kind, str(error)), where=prog, fix="see --help") from error


def _more_help(kind: type[JobSettings]) -> str:
    """Return what the parser does not know of: the file of settings, and shorter flags."""
    lines = ["", "also:", "  --config FILE         YAML file of settings; flags go before it, the environment after"]
    lines += [f"  {short:<21} the same as {long}" for short, long in kind.short_flags.items()]
    return "\n".join([*lines, ""])


def _take_config(argv: list[str]) -> tuple[list[str], Path | None]:
    for place, word in enumerate(argv):
        if word.startswith("--config="):
            return argv[:place] + argv[place + 1 :], Path(word.removeprefix("--config="))
        if word == "--config":
            if place + 1 == len(argv):
                raise SettingsError("--config names no file", fix="give a YAML file")
            return argv[:place] + argv[place + 2 :], Path(argv[place + 1])
    return argv, None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the settings that a YAML file holds.

    Raises:
        SettingsError: It cannot be read, or holds no mapping.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read ({error})", where=str(path), fix="give a YAML file") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsError(f"is not YAML ({error})", where=str(path), fix="mend it") from error
    if not isinstance(values, dict):
        raise SettingsError("is not a mapping of settings", where=str(path), fix="write `name: value` lines")
    return values


def _spell_out(argv: list[str], short_flags: dict[str, str]) -> list[str]:
    """Turn ``--flag a b`` into ``--flag a --flag b``, which is how the parser takes lists, and lengthen short flags."""
    spelled: list[str] = []
    flag, taken = "", 0
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            flag, taken = short_flags.get(name, name), len(equals)
            spelled.append(f"{flag}{equals}{value}")
            continue
        if flag and taken:
            spelled.append(flag)
        spelled.append(word)
        taken += 1
    return spelled


def _explain(kind: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        field = ".".join(str(part) for part in problem["loc"]) or "settings"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            near = _nearest(kind, f"--{field.replace('_', '-')}").removeprefix("--").replace("-", "_")
            message = f"is no setting{f', did you mean {near}?' if near else ''}"
        given = problem["input"]
        shown = "" if problem["type"] == "missing" or isinstance(given, dict) else f" = {given!r}"
        lines.append(f"{field}{shown}: {message[0].lower()}{message[1:]}")
    return " | ".join(lines)


def _explain_flag(kind: type[BaseModel], message: str) -> str:
    message = message.removeprefix("error parsing CLI: ")
    unknown = [word for word in message.split() if word.startswith("--")]
    near = _nearest(kind, unknown[0]) if unknown else ""
    return f"{message}, did you mean {near}?" if near else message


def _nearest(kind: type[BaseModel], flag: str) -> str:
    """Return the flag that was probably meant, or nothing."""
    return next(iter(difflib.get_close_matches(flag, _flags(kind), n=1, cutoff=0.7)), "")


def _flags(kind: type[BaseModel], prefix: str = "--") -> list[str]:
    flags = []
    for name, field in kind.model_fields.items():
        flag = f"{prefix}{name.replace('_', '-')}"
        flags.append(flag)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            flags += _flags(field.annotation, f"{flag}.")
    return flags
