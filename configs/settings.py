"""Load settings from defaults, a profile, the environment and the command line; say where each value came from.

Rules of this file
- Precedence, weakest first: defaults (`configs/sections.py`) < profile file < environment `ROOKERY_SECTION__KEY`
  < `--set SECTION.KEY=VALUE` < `overrides` (the command line's own options, such as `--port`).
- Loading gives frozen `Settings` or one `SettingsError` that lists every problem: the field, its value, where the
  value came from, what would be right. No pydantic wording reaches an operator, and no password does.
- Nothing is read implicitly. `Settings.from_dict` in a Ray actor on another node must not pick up that node's
  environment, so the sources are gathered here and `Settings` itself reads none.

How it works: each source becomes a layer of `"section.key" -> Given(value, origin)`; the layers are merged; the result
is validated field by field; then the rules of `configs/checks.py` run over the fields that are sound.

What it costs: about 2 ms, once per process.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import PrivateAttr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from configs import sections
from configs.checks import RULES
from configs.explain import expectation, mask, mask_url, nearest, shown

ENV_PREFIX = "ROOKERY_"
ENV_DELIMITER = "__"
PROFILE_DIR = Path(__file__).parent
ORIGINS_KEY = "origins"  # to_dict carries the origins beside the sections


class Problem(NamedTuple):
    """One reason why settings can't be used. `value` is ready to print: quoted, and masked where it is a secret."""

    field: str
    value: str
    origin: str
    message: str
    fix: str

    def __str__(self) -> str:
        head = f"{self.field} = {self.value}" if self.value else self.field
        tail = f"; {self.fix}" if self.fix else ""
        return f"{head} (from {self.origin}): {self.message}{tail}"


class SettingsError(ValueError):
    """Settings that can't be used. `problems` holds all of them, in the order of the sections."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = "1 setting can't be used" if count == 1 else f"{count} settings can't be used"
        super().__init__("\n  ".join([f"{head}:", *map(str, self.problems)]))


class Given(NamedTuple):
    """A value that one source gave, and the name of the source."""

    value: Any
    origin: str


class Row(NamedTuple):
    """One line of `Settings.describe`."""

    name: str
    value: str
    origin: str
    help: str


class Settings(BaseSettings):
    """All settings of a cluster, frozen. Made by `load_settings` or `from_dict`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    auth: sections.AuthSection = sections.AuthSection()
    registrations: sections.RegistrationsSection = sections.RegistrationsSection()
    limits: sections.LimitsSection = sections.LimitsSection()
    tweet: sections.TweetSection = sections.TweetSection()
    timeline: sections.TimelineSection = sections.TimelineSection()
    storage: sections.StorageSection = sections.StorageSection()
    durability: sections.DurabilitySection = sections.DurabilitySection()
    cluster: sections.ClusterSection = sections.ClusterSection()
    search: sections.SearchSection = sections.SearchSection()
    server: sections.ServerSection = sections.ServerSection()
    instance: sections.InstanceSection = sections.InstanceSection()
    web: sections.WebSection = sections.WebSection()
    outgoing: sections.OutgoingSection = sections.OutgoingSection()
    mail: sections.MailSection = sections.MailSection()
    media: sections.MediaSection = sections.MediaSection()
    lane: sections.LaneSection = sections.LaneSection()
    checkpoint: sections.CheckpointSection = sections.CheckpointSection()
    log: sections.LogSection = sections.LogSection()
    metrics: sections.MetricsSection = sections.MetricsSection()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def channels(self) -> frozenset[str]:
        """Which ways out of the cluster are configured, by their names."""
        return self.dispatched | ({"blob"} if self.media.enabled else frozenset())

    @property
    def dispatched(self) -> frozenset[str]:
        """Those of `channels` that need a dispatcher: objects in a folder are removed without one."""
        others = ({"mail"} if self.mail.host else set()) | ({"blob"} if self._has_bucket else set())
        return self.outgoing.channels | others | ({"previews"} if self.previews else set())

    @property
    def previews(self) -> bool:
        """Whether tweets show what their links lead to."""
        return self.media.enabled and self.media.previews

    @property
    def _has_bucket(self) -> bool:
        return self.media.enabled and bool(self.media.store_url)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but the arguments; see the rules of this file."""
        return (init_settings,)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `from_dict`, secrets in clear: for Ray actors, not for printing."""
        return {**self.model_dump(mode="json"), ORIGINS_KEY: dict(self._origins)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild the settings that `to_dict` described. Raises SettingsError if they can't be used."""
        origins = data.get(ORIGINS_KEY, {})
        values = {key: value for key, value in data.items() if key != ORIGINS_KEY}
        layer = {name: Given(value, origins.get(name, "default")) for name, value in _flatten(values)}
        return cls._build(layer)

    def rows(self) -> list[Row]:
        """Return every setting with its value (secrets masked), origin and help, in the order of the sections."""
        rows = []
        for name, field in known_settings().items():
            section, key = name.split(".")
            value = mask(field, getattr(getattr(self, section), key))
            rows.append(Row(name, shown(value), self._origins.get(name, "default"), field.description or ""))
        return rows

    def describe(self) -> str:
        """Return a table of every setting: value (secrets masked), where it came from, what it is for."""
        rows = [Row("setting", "value", "from", "what it is for"), *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row.help]).rstrip()
            for row in rows
        )

    @classmethod
    def _build(cls, layer: Mapping[str, Given], problems: Iterable[Problem] = ()) -> Self:
        """Validate merged values; raise SettingsError with these problems and all that are found."""
        found = list(problems)
        sound: dict[str, Any] = {}
        for name, given in layer.items():
            if problem := _unknown(name, given) or _unusable(name, given):
                found.append(problem)
            else:
                sound[name] = given.value
        settings = cls.model_validate(_nest(sound))
        settings._origins = {name: layer[name].origin for name in sound if layer[name].origin != "default"}
        wrong = {problem.field for problem in found}
        for reads, check in RULES:
            finding = None if wrong.intersection(reads) else check(settings)
            if finding is not None:
                section, key = finding.field.split(".")
                value = shown(mask(known_settings()[finding.field], getattr(getattr(settings, section), key)))
                origin = settings._origins.get(finding.field, "default")
                found.append(Problem(finding.field, value, origin, finding.message, finding.fix))
        if found:
            order = list(known_settings())
            raise SettingsError(sorted(found, key=lambda p: order.index(p.field) if p.field in order else -1))
        return settings


def load_settings(
    profile: str = "laptop",
    sets: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Load settings from all sources, in the precedence of this file's header.

    profile: `laptop`, `cluster`, `test`, or the path of a TOML file; sets: `SECTION.KEY=VALUE` strings;
    overrides: dotted or nested names to values, None means not given; environ: the process environment by default.
    Raises SettingsError that lists every problem of every source.
    """
    problems: list[Problem] = []
    layer: dict[str, Given] = {}
    layer.update(_profile_layer(profile))
    layer.update(_environment_layer(os.environ if environ is None else environ))
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals:
            problems.append(Problem(mask_url(text), "", "--set", "has no value", "write it as SECTION.KEY=VALUE"))
        else:
            layer[name.strip().lower()] = Given(value.strip(), "--set")
    layer.update({name: Given(v, "command line") for name, v in _flatten(overrides or {}) if v is not None})
    return Settings._build(layer, problems)


def known_settings() -> dict[str, FieldInfo]:
    """Return every setting as `"section.key" -> field`, in the order of the sections."""
    return dict(_KNOWN)


def profile_names() -> list[str]:
    """Return the names of the profiles that come with Rookery, sorted."""
    return sorted(path.stem for path in PROFILE_DIR.glob("*.toml"))


def _profile_layer(profile: str) -> dict[str, Given]:
    path = Path(profile) if profile.endswith(".toml") else PROFILE_DIR / f"{profile}.toml"
    if profile not in profile_names() and not path.is_file():
        fix = f"use one of {', '.join(profile_names())}, or the path of a TOML file{nearest(profile, profile_names())}"
        raise SettingsError([Problem("profile", shown(profile), "command line", "does not exist", fix)])
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(
            [Problem("profile", shown(str(path)), "command line", f"can't be read: {error}", "")]
        ) from error
    return {name: Given(value, f"profile {path.name}") for name, value in _flatten(data)}


def _environment_layer(environ: Mapping[str, str]) -> dict[str, Given]:
    """Take the names with a section in them; other ROOKERY_ variables belong to other tools."""
    layer = {}
    for variable, value in sorted(environ.items()):
        if variable.startswith(ENV_PREFIX) and ENV_DELIMITER in variable:
            name = variable.removeprefix(ENV_PREFIX).replace(ENV_DELIMITER, ".", 1).lower()
            layer[name] = Given(value, f"environment {variable}")
    return layer


def _flatten(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield `("section.key", value)` from nested or already dotted names."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _nest(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    tree: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        section, key = name.split(".")
        tree.setdefault(section, {})[key] = value
    return tree


def _unknown(name: str, given: Given) -> Problem | None:
    if name in _KNOWN:
        return None
    if name in Settings.model_fields:
        keys = ", ".join(Settings.model_fields[name].annotation.model_fields)  # type: ignore[union-attr]
        return Problem(name, "", given.origin, "is a section, not a setting", f"its settings are {keys}")
    # A bare or misplaced key is matched by its last part too: `shards` means `cluster.shards`.
    key = name.rpartition(".")[2]
    same_key = [known for known in _KNOWN if known.endswith(f".{key}")]
    guess = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.5) if not same_key else same_key[:1]
    fix = f"did you mean {guess[0]}?" if guess else f"the sections are {', '.join(Settings.model_fields)}"
    return Problem(name, "", given.origin, "is not a setting", fix)


def _unusable(name: str, given: Given) -> Problem | None:
    """Validate one value alone; pydantic's own wording is replaced by what the field expects."""
    section, key = name.split(".")
    field = _KNOWN[name]
    sound = not (isinstance(given.value, bool) and field.annotation is not bool)  # true is no number
    try:
        _SECTIONS[section](**{key: given.value})
    except ValidationError:
        sound = False
    if sound:
        return None
    message, fix = expectation(name, field, given.value)
    return Problem(name, shown(mask(field, given.value)), given.origin, message, fix)


_SECTIONS: dict[str, type[sections.Section]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, sections.Section)
}
_KNOWN: dict[str, FieldInfo] = {
    f"{name}.{key}": field for name, section in _SECTIONS.items() for key, field in section.model_fields.items()
}
