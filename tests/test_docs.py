"""The documentation keeps up with the code: routes, settings, metrics, links, commands and examples."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.core.features import READS, WRITES
from actors.metrics.page import renewed
from actors.metrics.table import FIGURES
from actors.shard.backup_source import OPERATIONS as BACKUP
from actors.shard.listening import OPERATIONS as LISTENING
from actors.shard.moves import OPERATIONS as MOVES
from actors.shard.replication import OPERATIONS as REPLICATION
from actors.shard.search_requests import OPERATIONS as SEARCH
from configs.explain import shown
from configs.settings import known_settings, load_settings, profile_names
from tests.api.documents import document_of

ROOT = Path(__file__).parent.parent
SKIPPED_FOLDERS = {"data", "node_modules", "build", "dist"}
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
ALIASES = {("POST", "/tweet"), ("GET", "/feed")}  # named beside the long path rather than under a heading of their own
# Answered by the shell, not by the core's tables.
SHARD_OPERATIONS = {"home", "home_ids", "explain", "status", "check", "digest"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def markdown_files() -> list[Path]:
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in SKIPPED_FOLDERS]
        found += [Path(folder) / name for name in names if name.endswith(".md")]
    return sorted(found)


def without_code(text: str) -> str:
    """Return Markdown without code blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchor_of(heading: str) -> str:
    """Return the anchor that forges give a heading: lower case, punctuation out, spaces to hyphens."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", ""))
    return plain.replace(" ", "-")


def anchors_of(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {anchor_of(heading) for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)}


# ---- the API ------------------------------------------------------------------------------------------------------


def served_routes() -> set[tuple[str, str]]:
    paths = document_of()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_every_route_is_in_the_api_document_and_nothing_else_is():
    text = read("docs/api.md")
    headings = set(re.findall(rf"^### ({'|'.join(METHODS)}) (/\S+)$", text, flags=re.MULTILINE))
    assert headings | ALIASES == served_routes()
    for method, path in ALIASES:
        assert f"Also `{method} {path}`." in text


def test_every_code_of_an_error_is_in_the_api_document():
    from actors.core import errors
    from api import errors as http_errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RookeryError)]
    rows = dict(re.findall(r"^\| (\d{3}) \| `(\w+)` \|", read("docs/api.md"), flags=re.MULTILINE))
    of_http = [
        kind for kind in vars(http_errors).values() if isinstance(kind, type) and issubclass(kind, errors.RookeryError)
    ]
    served = {kind.code: str(kind.status) for kind in [*kinds, *of_http]}
    served.pop("moved")  # clients never see it: it becomes `unavailable`
    served.pop("deposed")  # replicas tell it each other only
    assert {code: status for status, code in rows.items()} == served


def test_every_lane_operation_is_in_the_lane_document():
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", read("docs/lane.md"), flags=re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert named == {*READS, *WRITES, *SHARD_OPERATIONS, *REPLICATION, *BACKUP, *MOVES, *SEARCH, *LISTENING, "touched"}


# ---- settings and metrics -------------------------------------------------------------------------------------------


def setting_rows() -> dict[str, tuple[str, str, str]]:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.*?) \| (.*?) \| (.*) \|$", read("docs/configuration.md"), re.MULTILINE)
    return {name: (default, profiles, text) for name, default, profiles, text in rows}


def test_every_setting_is_in_the_configuration_document_in_order():
    assert list(setting_rows()) == list(known_settings())


@pytest.mark.parametrize("name", known_settings())
def test_a_setting_is_documented_with_its_default_and_its_help(name):
    field = known_settings()[name]
    default, _, text = setting_rows()[name]
    value = shown(field.default).strip('"')
    assert default == (f"`{value}`" if value else "empty")
    assert text.startswith(field.description or "")


@pytest.mark.parametrize("profile", profile_names())
def test_what_a_profile_changes_is_in_the_configuration_document(profile):
    settings = load_settings(profile, environ={})
    changed = {row.name: row.value for row in settings.rows() if row.origin.startswith("profile")}
    documented = {
        name: found.group(1)
        for name, (_, profiles, _) in setting_rows().items()
        if (found := re.search(rf"{profile}: `([^`]*)`", profiles))
    }
    defaults = {name: shown(field.default) for name, field in known_settings().items()}
    assert documented == {name: value for name, value in changed.items() if value != defaults[name]}


def test_the_tables_of_figures_are_made_of_their_rows():
    page = read("docs/operations.md")
    assert renewed(page) == page, "python -m actors.metrics.page docs/operations.md"


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_names_a_figure_that_there_is_not(path):
    if path.name == "CHANGELOG.md":
        return
    named = set(re.findall(r"\brookery_([a-z]+(?:_[a-z]+)+)\b", path.read_text(encoding="utf-8")))
    known = {figure.name for figure in FIGURES}
    tables = {"checkpoint", "session", "visit", "change"}
    assert named - known - tables == set()


# ---- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        if not linked.exists() or (anchor and anchor not in anchors_of(linked)):
            broken.append(target)
    assert not broken


# ---- commands -------------------------------------------------------------------------------------------------------


def help_of(*command: str) -> str:
    """Return what a command says of itself, in this process: one of its own takes a second to import Ray."""
    from run_cluster import app

    environ = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner().invoke(app, [*command, "--help"], env=environ)
    assert result.exit_code == 0, result.output
    return result.stdout


def documented_commands() -> dict[str, set[str]]:
    """Return command -> options from every `run_cluster.py COMMAND ...` in the user's documents."""
    found: dict[str, set[str]] = {}
    for name in ("README.md", "docs/configuration.md", "docs/operations.md", "docs/architecture.md"):
        for command, rest in re.findall(r"run_cluster\.py ([a-z]+)([^\n`#|]*)", read(name)):
            found.setdefault(command, set()).update(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest))
    return found


def test_commands_and_options_of_the_documents_exist():
    commands = set(re.findall(r"^[│|]\s+([a-z]+)\s{2,}", help_of(), flags=re.MULTILINE))
    documented = documented_commands()
    assert {"serve", "load", "check", "status"} <= set(documented)
    assert set(documented) <= commands
    for command, options in documented.items():
        text = help_of(command)
        assert not {option for option in options if not re.search(rf"(?<!\S){option}(?!\S)", text)}, command


def test_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))
    assert set(re.findall(r"^(?:\S+=\S+ )*make ([a-z-]+)", read("README.md"), flags=re.MULTILINE)) <= targets
