"""Known holes in what is installed, by a list that is in the repository, so that the check works without a network.

    python -m tests.supply_chain.audit             says what is affected and not accepted, with status 1
    python -m tests.supply_chain.audit --refresh   makes the list anew from OSV, or from the service in OSV_URL

advisories.json holds records of OSV's schema (https://ossf.github.io/osv-schema/), cut to what is needed here.
pip-audit would not help: it asks a service which advisories a version falls under, and knows no ranges itself.

What is looked at: every pin of constraints.txt, and the distributions that packages bring along inside themselves (Ray
has copies of aiohttp and others). Not pip: it comes with Python.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import sys
import tomllib
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.supply_chain.pins import CONSTRAINTS, read_pins

FOLDER = Path(__file__).parent
ADVISORIES = FOLDER / "advisories.json"
ACCEPTED = FOLDER / "accepted.toml"
OSV_URL = "https://api.osv.dev"
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Installed:
    """A distribution that is installed; `inside` is the package that carries it, or empty."""

    name: str
    version: str
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A distribution that an advisory affects."""

    installed: Installed
    advisory: str
    names: frozenset[str]
    fixed: tuple[str, ...]
    summary: str

    def __str__(self) -> str:
        where = f" (inside {self.installed.inside})" if self.installed.inside else ""
        mended = f"; mended in {' or '.join(self.fixed)}" if self.fixed else "; not mended yet"
        return f"{self.installed.name} {self.installed.version}{where}: {self.advisory}: {self.summary}{mended}"


def in_range(version: Version, events: Iterable[dict[str, str]]) -> bool:
    """Say whether a version lies in a range of OSV's schema: the last event at or before it decides, in any order."""
    ordered = []
    for event in events:
        for kind, text in event.items():
            if kind in ("introduced", "fixed", "last_affected"):
                ordered.append((Version("0.dev0" if text == "0" else text), kind))
    affected = False
    for at, kind in sorted(ordered, key=lambda entry: entry[0]):
        if kind == "introduced" and version >= at:
            affected = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            affected = False
    return affected


def affects(version: str, affected: dict[str, Any]) -> bool:
    """Say whether a version is affected: by a range, or by being named."""
    ranges = [r for r in affected.get("ranges", ()) if r["type"] == "ECOSYSTEM"]
    return version in affected.get("versions", ()) or any(in_range(Version(version), r["events"]) for r in ranges)


def findings(installed: Iterable[Installed], advisories: Iterable[dict[str, Any]]) -> Iterator[Finding]:
    """Yield what is affected by what."""
    by_name: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for advisory in advisories:
        for affected in advisory["affected"]:
            if affected["package"]["ecosystem"] == "PyPI":
                by_name.setdefault(canonicalize_name(affected["package"]["name"]), []).append((advisory, affected))
    for one in installed:
        for advisory, affected in by_name.get(one.name, ()):
            if affects(one.version, affected):
                events = [event for r in affected.get("ranges", ()) for event in r["events"]]
                yield Finding(
                    one, advisory["id"], frozenset({advisory["id"], *advisory.get("aliases", ())}),
                    tuple(event["fixed"] for event in events if "fixed" in event), advisory.get("summary", ""),
                )  # fmt: skip


def pinned() -> list[Installed]:
    """Return the pins of constraints.txt."""
    return [Installed(pin.name, pin.version) for pin in read_pins(CONSTRAINTS.read_text(encoding="utf-8"))]


def carried(site: Path) -> list[Installed]:
    """Return the distributions that lie inside other packages below a site-packages folder."""
    found = []
    for path in sorted(site.glob("*/**/*.dist-info/METADATA")):
        metadata = importlib.metadata.PathDistribution(path.parent).metadata
        found.append(
            Installed(canonicalize_name(metadata["Name"]), metadata["Version"], path.relative_to(site).parts[0])
        )
    return found


def site_packages() -> Path:
    """Return where distributions are installed."""
    return Path(str(importlib.metadata.distribution("packaging").locate_file("")))


def unaccepted(found: Iterable[Finding], accepted: Iterable[dict[str, str]]) -> list[Finding]:
    """Return the findings without those that accepted.toml gives a reason for, in that very version."""
    reasons = {(entry["package"], entry["version"], entry["advisory"]) for entry in accepted}
    return [f for f in found if not any((f.installed.name, f.installed.version, name) in reasons for name in f.names)]


# ---- making the list anew --------------------------------------------------------------------------------------------


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON that OSV answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)


def advisory_ids(names: Iterable[str], osv: str) -> set[str]:
    """Return the ids of all advisories that name one of the packages, whatever the version."""
    queries: list[dict[str, Any]] = [{"package": {"name": name, "ecosystem": "PyPI"}} for name in names]
    ids: set[str] = set()
    while queries:
        results = ask(f"{osv}/v1/querybatch", {"queries": queries})["results"]
        again = []
        for query, result in zip(queries, results, strict=True):
            ids |= {vulnerability["id"] for vulnerability in result.get("vulns", ())}
            if token := result.get("next_page_token"):
                again.append({**query, "page_token": token})
        queries = again
    return ids


def shortened(record: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return what the check needs of an OSV record; versions are named only where there is no range."""
    affected = []
    for entry in record["affected"]:
        package = entry["package"]
        if package["ecosystem"] != "PyPI" or canonicalize_name(package["name"]) not in names:
            continue
        ranges = [
            {"type": r["type"], "events": r["events"]} for r in entry.get("ranges", ()) if r["type"] == "ECOSYSTEM"
        ]
        short = {"package": {"ecosystem": "PyPI", "name": canonicalize_name(package["name"])}, "ranges": ranges}
        affected.append(short if ranges else {**short, "versions": entry.get("versions", [])})
    summary = record.get("summary") or " ".join(record.get("details", "").split())[:160]
    return {"id": record["id"], "aliases": sorted(record.get("aliases", ())), "summary": summary, "affected": affected}


def refresh(names: set[str], osv: str, today: str) -> str:
    """Return the text of advisories.json for these packages, from an OSV service."""
    records = [ask(f"{osv}/v1/vulns/{name}") for name in sorted(advisory_ids(sorted(names), osv))]
    kept = [shortened(record, names) for record in records if "withdrawn" not in record]
    return list_text({"made": today, "source": osv, "complete": True}, [entry for entry in kept if entry["affected"]])


def list_text(head: dict[str, Any], advisories: list[dict[str, Any]]) -> str:
    """Return JSON with a line per advisory, so that a renewed list shows what is new."""
    advisories = sorted(advisories, key=lambda entry: (entry["affected"][0]["package"]["name"], entry["id"]))
    lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in advisories)
    return json.dumps(head, indent=1, ensure_ascii=False)[:-2] + f',\n "advisories": [\n{lines}\n ]\n}}\n'


def main() -> int:
    """Check, or make the list anew; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--refresh", action="store_true", help="make advisories.json anew from OSV")
    given = parser.parse_args()
    installed = [*pinned(), *carried(site_packages())]
    if given.refresh:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        text = refresh({one.name for one in installed}, os.environ.get("OSV_URL", OSV_URL), today)
        ADVISORIES.write_text(text, encoding="utf-8")

    known = json.loads(ADVISORIES.read_text(encoding="utf-8"))
    accepted = tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))["accepted"]
    found = list(findings(installed, known["advisories"]))
    bad = unaccepted(found, accepted)
    for finding in bad:
        print(finding, file=sys.stderr)
    extent = "all that its source knew" if known["complete"] else "not all there are: make audit-refresh"
    print(
        f"{len(installed)} distributions, {len(known['advisories'])} advisories of {known['made']} ({extent}): "
        f"{len(bad)} affected, {len(found) - len(bad)} accepted with a reason"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
