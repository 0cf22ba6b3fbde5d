"""The check for known holes finds what it should, offline, and nothing unaccepted is installed."""

from __future__ import annotations

import datetime
import json
import re
import ssl
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import certifi
import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.supply_chain import audit
from tests.supply_chain.audit import Installed, affects, findings, in_range, refresh, unaccepted
from tests.supply_chain.pins import ROOT

KNOWN = json.loads(audit.ADVISORIES.read_text(encoding="utf-8"))
ACCEPTED = tomllib.loads(audit.ACCEPTED.read_text(encoding="utf-8"))["accepted"]


def everything() -> list[Installed]:
    return [*audit.pinned(), *audit.carried(audit.site_packages())]


# ---- what is installed ----------------------------------------------------------------------------------------------


def test_nothing_that_is_installed_has_a_known_hole_without_a_reason():
    assert [str(found) for found in unaccepted(findings(everything(), KNOWN["advisories"]), ACCEPTED)] == []


def test_every_acceptance_is_still_needed_and_says_why():
    """One that isn't would hide the advisory if that version ever came back."""
    accepted = {(entry["package"], entry["version"], entry["advisory"]) for entry in ACCEPTED}
    found = {(f.installed.name, f.installed.version, f.advisory) for f in findings(everything(), KNOWN["advisories"])}
    assert accepted == found & accepted
    assert all(len(entry["reason"]) > 60 for entry in ACCEPTED)


def test_the_bundle_of_certifi_trusts_none_of_the_compromised_roots():
    """Which is why GHSA-6q48-6c7w-9gw2 is accepted for the pinned version."""
    context = ssl.create_default_context(cafile=certifi.where())
    subjects = [str(certificate["subject"]).lower() for certificate in context.get_ca_certs()]
    assert len(subjects) > 100
    assert not [subject for subject in subjects if "emsign" in subject or "emudhra" in subject]


def test_the_list_is_well_formed_and_about_what_is_installed():
    advisories = KNOWN["advisories"]
    assert len({entry["id"] for entry in advisories}) == len(advisories) > 50
    names = {one.name for one in everything()}
    for entry in advisories:
        assert re.fullmatch(r"[A-Z]+-[\w-]+", entry["id"])
        assert entry["summary"]
        for affected in entry["affected"]:
            assert affected["package"]["ecosystem"] == "PyPI"
            assert affected["package"]["name"] == canonicalize_name(affected["package"]["name"]) in names
            assert affected["ranges"] or affected["versions"]
    assert datetime.date.fromisoformat(KNOWN["made"])
    head = {key: value for key, value in KNOWN.items() if key != "advisories"}
    assert audit.ADVISORIES.read_text(encoding="utf-8") == audit.list_text(head, advisories), "a line per advisory"


def test_ci_runs_the_audit():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert lint
    assert lint[1].rstrip().endswith("audit")
    assert "make lint" in (ROOT / ".ci/run").read_text(encoding="utf-8")


# ---- what the check finds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version"),
    [("urllib3", "2.7.0"), ("ray", "2.51.1"), ("starlette", "1.3.0"), ("anyio", "4.14.1"), ("aiohttp", "3.14.3")],
)
def test_versions_with_known_holes_are_found(name, version):
    assert list(findings([Installed(name, version)], KNOWN["advisories"]))


def test_a_copy_inside_another_package_is_found(tmp_path):
    info = tmp_path / "ray/_private/thirdparty_files/AIOHTTP-3.14.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: AIOHTTP\nVersion: 3.14.3\n")
    assert audit.carried(tmp_path) == [Installed("aiohttp", "3.14.3", "ray")]
    found = next(iter(findings(audit.carried(tmp_path), KNOWN["advisories"])))
    assert str(found).startswith("aiohttp 3.14.3 (inside ray): PYSEC-2026-43")
    assert "mended in 3.14.4" in str(found)


def test_the_copies_that_ray_brings_are_looked_at():
    assert {"aiohttp", "psutil"} <= {one.name for one in audit.carried(audit.site_packages()) if one.inside == "ray"}


INTRODUCED, FIXED, LAST = "introduced", "fixed", "last_affected"


@pytest.mark.parametrize(
    ("events", "version", "expected"),
    [
        ([{INTRODUCED: "0"}, {FIXED: "2"}], "1.9", True),
        ([{INTRODUCED: "0"}, {FIXED: "2"}], "2", False),
        ([{INTRODUCED: "0"}, {FIXED: "2"}], "2rc1", True),
        ([{INTRODUCED: "0"}], "9999", True),
        ([{INTRODUCED: "1.5"}, {FIXED: "2"}], "1.4", False),
        ([{INTRODUCED: "0"}, {LAST: "1.5"}], "1.5", True),
        ([{INTRODUCED: "0"}, {LAST: "1.5"}], "1.5.1", False),
        ([{FIXED: "2"}, {FIXED: "4"}, {INTRODUCED: "3"}, {INTRODUCED: "0"}], "2.5", False),
        ([{FIXED: "2"}, {FIXED: "4"}, {INTRODUCED: "3"}, {INTRODUCED: "0"}], "3.1", True),
        ([{INTRODUCED: "1.10"}, {FIXED: "1.11"}], "1.9", False),
        ([{INTRODUCED: "0"}, {FIXED: "2026.10.19"}], "2026.10.19.post1", False),
    ],
)
def test_ranges_mean_what_osv_says(events, version, expected):
    assert in_range(Version(version), events) is expected


def test_a_version_may_be_named_and_ranges_of_commits_say_nothing():
    assert affects("1.0", {"versions": ["1.0"], "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]})
    assert not affects("1.1", {"versions": ["1.0"], "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]})


def test_an_acceptance_is_for_one_version_by_any_of_the_advisory_s_names():
    found = list(findings([Installed("certifi", v) for v in ("2026.10.18", "2026.10.17")], KNOWN["advisories"]))
    accepted = [{"package": "certifi", "version": "2026.10.18", "advisory": "CVE-2026-111943"}]
    assert [f.installed.version for f in unaccepted(found, accepted)] == ["2026.10.17"]


# ---- making the list anew, from a service on loopback ----------------------------------------------------------------

PYPI = {"ecosystem": "PyPI", "name": "Some_Package"}
RECORDS: dict[str, dict[str, Any]] = {
    "GHSA-1": {
        "id": "GHSA-1", "aliases": ["CVE-1"], "summary": "one", "severity": [{"type": "CVSS_V3", "score": "x"}],
        "affected": [
            {"package": PYPI, "versions": ["1.0", "1.1"], "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2"}], "database_specific": {}},
                {"type": "GIT", "events": [{"introduced": "0"}]},
            ]},
            {"package": {"ecosystem": "npm", "name": "some-package"}, "versions": ["1"]},
            {"package": {"ecosystem": "PyPI", "name": "another"}, "versions": ["1"]},
        ],
    },
    "PYSEC-2": {"id": "PYSEC-2", "details": "two\n  lines", "affected": [{"package": PYPI, "versions": ["1.3"]}]},
    "PYSEC-3": {"id": "PYSEC-3", "withdrawn": "2026-01-01", "affected": [{"package": PYPI, "versions": ["1.3"]}]},
}  # fmt: skip


class Service(BaseHTTPRequestHandler):
    """OSV, with a page of one advisory at a time."""

    def do_POST(self) -> None:
        assert self.path == "/v1/querybatch"
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.answer({"results": [self.page(query) for query in queries]})

    def page(self, query: dict[str, Any]) -> dict[str, Any]:
        if query["package"] != {"ecosystem": "PyPI", "name": "some-package"}:
            return {}
        ids = sorted(RECORDS)
        at = int(query.get("page_token", 0))
        more = {"next_page_token": str(at + 1)} if at + 1 < len(ids) else {}
        return {"vulns": [{"id": ids[at], "modified": "2026-01-01"}], **more}

    def do_GET(self) -> None:
        self.answer(RECORDS[self.path.removeprefix("/v1/vulns/")])

    def answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_list_is_made_anew_from_a_service():
    with service() as url:
        text = refresh({"some-package", "harmless"}, url, "2026-12-24")
    made = json.loads(text)
    assert (made["made"], made["source"], made["complete"]) == ("2026-12-24", url, True)
    package = {"ecosystem": "PyPI", "name": "some-package"}
    events = [{"introduced": "0"}, {"fixed": "1.2"}]
    assert made["advisories"] == [
        {
            "id": "GHSA-1", "aliases": ["CVE-1"], "summary": "one",
            "affected": [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}],
        },
        {
            "id": "PYSEC-2", "aliases": [], "summary": "two lines",
            "affected": [{"package": package, "ranges": [], "versions": ["1.3"]}],
        },
    ]  # fmt: skip
    hit = [
        found.advisory
        for v in ("1.1", "1.2", "1.3")
        for found in findings([Installed("some-package", v)], made["advisories"])
    ]
    assert hit == ["GHSA-1", "PYSEC-2"]


def test_the_command_reports_what_a_renewed_list_finds(monkeypatch, tmp_path, capsys):
    shown = tmp_path / "advisories.json"
    monkeypatch.setattr(audit, "ADVISORIES", shown)
    monkeypatch.setattr(audit, "pinned", lambda: [Installed("some-package", "1.1")])
    monkeypatch.setattr(audit, "carried", lambda _: [])
    monkeypatch.setattr("sys.argv", ["audit", "--refresh"])
    with service() as url:
        monkeypatch.setenv("OSV_URL", url)
        assert audit.main() == 1
    said = capsys.readouterr()
    assert said.err == "some-package 1.1: GHSA-1: one; mended in 1.2\n"
    assert "1 distributions, 2 advisories of " in said.out
    assert "(all that its source knew): 1 affected, 0 accepted" in said.out
    assert json.loads(shown.read_text())["made"] >= "2026-11-29"
