"""The client's files: what they are kept for, what isn't served, and how much of them there is."""

from __future__ import annotations

import gzip
import re

import pytest

from api.web.assets import Assets, client_files, imports_of, served_of
from api.web.pages import ROUTES

FIRST_VIEW = ("main.js", "screens/home.js", "screens/public.js")
FIRST_STYLES = ("styles/tokens.css", "styles/base.css", "styles/reading.css")
KIB = 1024


@pytest.fixture(scope="module")
def assets():
    return client_files()


def test_a_file_is_kept_for_ever_and_only_under_its_version(anonymous, assets):
    path = assets.address("main.js")
    reply = anonymous.get(path)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.headers["vary"] == "accept-encoding"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in reply.headers
    assert reply.content == assets.files["main.js"].body
    for gone in (
        f"/assets/{'0' * 16}/main.js",
        assets.address("nothing.js"),
        "/assets/",
        "/assets/x",
        "/assets//main.js",
    ):
        reply = anonymous.get(gone)
        assert (reply.status_code, reply.headers["cache-control"]) == (404, "no-store"), gone


def test_who_takes_no_gzip_gets_none_and_head_has_no_body(anonymous, assets):
    path = assets.address("main.js")
    for accepted in ("identity", "gzip;q=0", "br, gzip; q=0"):
        reply = anonymous.get(path, headers={"accept-encoding": accepted})
        assert "content-encoding" not in reply.headers
        assert reply.content == assets.files["main.js"].body
    reply = anonymous.head(path)
    assert (reply.status_code, reply.content) == (200, b"")
    assert int(reply.headers["content-length"]) == len(assets.files["main.js"].packed)


def test_who_has_a_file_is_told_so(anonymous, assets):
    path = assets.address("main.js")
    etag = anonymous.get(path).headers["etag"]
    reply = anonymous.get(path, headers={"if-none-match": etag})
    assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", etag)
    assert anonymous.get(path, headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize("name", [
    "../pages.py", "..%2fpages.py", "%2e%2e/pages.py", "/etc/passwd", "main.js/", "main.js%00", "styles", "MAIN.JS",
])  # fmt: skip
def test_nothing_else_is_served(anonymous, assets, name):
    assert anonymous.get(assets.address(name)).status_code == 404


def test_other_methods_are_named(anonymous, assets):
    reply = anonymous.post(assets.address("main.js"))
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert anonymous.options(assets.address("main.js")).status_code == 204


def test_the_version_is_of_all_files(tmp_path):
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "notes.txt").write_text("not served")
    first = Assets(tmp_path)
    assert list(first.files) == ["a.js"]
    (tmp_path / "b.css").write_text("a{}")
    second = Assets(tmp_path)
    (tmp_path / "b.css").rename(tmp_path / "c.css")
    third = Assets(tmp_path)
    assert len({first.version, second.version, third.version}) == 3
    assert Assets(tmp_path).version == third.version


def test_what_people_alone_read_is_not_sent():
    text = b'/**\n * What it is for.\n */\n\nimport { a } from "./a.js";\n  // why\n  const b = "https://x"; // stays\n'
    assert served_of(".js", text) == b'import { a } from "./a.js";\nconst b = "https://x"; // stays\n'
    assert served_of(".css", b"/* of a link */\na {\n    color: red;\n}\n") == b"a {\ncolor: red;\n}\n"
    assert served_of(".svg", b"<svg>\n  </svg>") == b"<svg>\n  </svg>"


def test_imports_are_found_whatever_their_form():
    text = b'import "./a.js";\nimport { b } from "../b/b.js";\nimport {\n  c,\n} from "./c.js";\n'
    text += b'export { d } from "./d.js";\n'
    text += b'const late = () => import("./late.js");\nimport { e } from "./e.js";\n'
    assert imports_of("x/x.js", text) == ["x/a.js", "b/b.js", "x/c.js", "x/d.js", "x/e.js"]


def test_every_import_is_of_a_file_that_is_there(assets):
    for name, wanted in assets.imports.items():
        assert set(wanted) <= assets.files.keys(), name
        for late in re.findall(rb'import\("(\.{1,2}/[^"]+)"\)', assets.files[name].body):
            found = imports_of(name, b'import "' + late + b'";')
            assert found[0] in assets.files, f"{name} imports {late!r} late, which isn't there"


def test_no_module_imports_itself_by_way_of_others(assets):
    done: set[str] = set()

    def walk(name, above):
        assert name not in above, " -> ".join([*above, name])
        if name not in done:
            for each in assets.imports[name]:
                walk(each, [*above, name])
            done.add(name)

    for name in assets.imports:
        walk(name, [])


def test_every_screen_of_a_route_is_there(assets):
    for route in ROUTES.values():
        assert set(route.modules) <= assets.files.keys(), route.path


def packed(assets, names):
    return sum(len(gzip.compress(assets.files[name].body, 9)) for name in names)


def test_the_first_view_and_all_of_it_stay_small(assets):
    first = assets.needed(*FIRST_VIEW)
    scripts = [name for name in assets.files if name.endswith(".js")]
    styles = [name for name in assets.files if name.endswith(".css")]
    sizes = {
        "first scripts": packed(assets, first), "first styles": packed(assets, FIRST_STYLES),
        "scripts": packed(assets, scripts), "styles": packed(assets, styles),
    }  # fmt: skip
    assert sizes["first scripts"] <= 36 * KIB, sizes
    assert sizes["first styles"] <= 8 * KIB, sizes
    assert sizes["scripts"] <= 112 * KIB, sizes  # of which a visit fetches what its screens need
    assert sizes["styles"] <= 10 * KIB, sizes
