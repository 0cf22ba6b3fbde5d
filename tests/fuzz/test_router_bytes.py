"""The router's file and the shard map on the wire: what isn't one is refused with the documented error."""

from __future__ import annotations

import zlib

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.core.errors import ConflictError, InvalidError
from actors.core.levels import LEVEL
from cluster.lane.protocol import pack
from cluster.placement.shard_map import ShardMap
from cluster.router.files import STATE_NAME, RouterStateError, load_state, save_state
from tests.fuzz.mutations import mutated, peak_bytes
from tests.fuzz.test_lane_bytes import values

MAP = ShardMap.even("0123456789abcdef", 3, 2, LEVEL)
BODY = pack(["0123456789abcdef", MAP.to_wire()])
BYTES_PER_BYTE, SLACK_BYTES = 64, 1 << 20
SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def sealed(body: bytes) -> bytes:
    """Return a file with that body and a right checksum."""
    return pack(["rookery-router", 1, zlib.crc32(body), body])


@pytest.fixture
def folder(tmp_path):
    save_state(tmp_path, "0123456789abcdef", MAP)
    return tmp_path


@given(mutated(sealed(BODY)) | st.binary(max_size=200) | values.map(pack))
@SAME_FOLDER
def test_a_damaged_file_is_refused_by_name_or_unchanged_in_meaning(folder, data):
    (folder / STATE_NAME).write_bytes(data)
    try:
        found = load_state(folder)
    except RouterStateError as error:
        found, reason = ("0123456789abcdef", MAP), error.message
    else:
        reason = str(folder / STATE_NAME)
    assert found == ("0123456789abcdef", MAP)
    assert reason.startswith(str(folder / STATE_NAME))


@given(mutated(BODY) | values.map(pack) | st.tuples(st.text(max_size=4), values).map(lambda pair: pack(list(pair))))
@SAME_FOLDER
def test_a_body_with_a_right_checksum_is_a_sound_map_or_refused_and_takes_little_memory(folder, body):
    data = sealed(body)
    (folder / STATE_NAME).write_bytes(data)

    def load() -> None:
        try:
            loaded = load_state(folder)
        except (RouterStateError, ConflictError):  # it is damaged; it is of a higher level than this code knows
            return
        assert loaded is not None
        assert loaded[1].check() == []

    assert peak_bytes(load) < BYTES_PER_BYTE * len(data) + SLACK_BYTES


def spoilt(draw, value):
    """Replace one part of a map's wire form, at any depth."""
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], spoilt(draw, value[at]), *value[at + 1 :]]
    return draw(values | st.binary(min_size=1_024, max_size=1_024))


@given(st.data())
def test_a_wire_form_with_any_part_replaced_is_a_sound_map_or_refused(data):
    wire = spoilt(data.draw, msgpack.unpackb(pack(MAP.to_wire())))
    try:
        built = ShardMap.from_wire(wire)
    except (InvalidError, ConflictError):  # a higher level than this code knows is a conflict
        return
    assert built.check() == []
    assert ShardMap.from_wire(built.to_wire()) == built
