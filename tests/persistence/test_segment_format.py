"""The decoder meets every kind of bytes: it returns what was encoded, or says what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.segment_format import (
    FRAME_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    DefectError,
    SegmentHeader,
    decode_frame_header,
    decode_payload,
    decode_segment_header,
    encode_frame,
    encode_segment_header,
)

SYNC = b"\x01\x02\x03\x04\x05\x06\x07\x08"
records_of_a_frame = st.lists(st.binary(max_size=60), max_size=8)


def decode(frame):
    header = decode_frame_header(frame[:FRAME_HEADER_BYTES], SYNC, len(frame))
    return header, decode_payload(header, frame[FRAME_HEADER_BYTES : header.frame_bytes])


@given(records_of_a_frame, st.integers(1, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_a_frame_decodes_to_what_was_encoded(records, first_position, epoch):
    header, decoded = decode(encode_frame(records, first_position, epoch, SYNC))
    assert decoded == records
    assert (header.first_position, header.epoch, header.record_count) == (first_position, epoch, len(records))


@given(records_of_a_frame, st.data())
def test_a_frame_with_any_flipped_bit_is_refused(records, data):
    frame = bytearray(encode_frame(records, 1, 0, SYNC))
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(DefectError):
        decode(bytes(frame))


@given(records_of_a_frame, st.data())
def test_a_frame_cut_anywhere_is_refused(records, data):
    frame = encode_frame(records, 1, 0, SYNC)
    with pytest.raises(DefectError):
        decode(frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(st.binary(max_size=200))
def test_random_bytes_are_no_frame_and_no_header(noise):
    with pytest.raises(DefectError):
        decode(SYNC + noise)
    with pytest.raises(DefectError):
        decode_segment_header(noise)


@given(st.binary(max_size=80), st.integers(0, 2**32 - 1))
def test_a_payload_whose_checksum_fits_but_whose_lengths_lie_is_refused_or_exact(payload, record_count):
    """A forged frame: the checksums are right, what they cover is noise."""
    import struct
    import zlib

    head = struct.pack("<8sIIQQI", SYNC, len(payload), record_count, 1, 0, zlib.crc32(payload))
    frame = head + struct.pack("<I", zlib.crc32(head)) + payload
    try:
        header, records = decode(frame)
    except DefectError:
        return
    assert encode_frame(records, header.first_position, header.epoch, SYNC) == frame


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**63 - 1), st.integers(0, 2**63 - 1), st.data())
def test_a_segment_header_decodes_unless_a_bit_is_flipped(shard, first_position, epoch, data):
    header = SegmentHeader(shard, first_position, epoch, SYNC)
    encoded = bytearray(encode_segment_header(header))
    assert len(encoded) == SEGMENT_HEADER_BYTES
    assert decode_segment_header(bytes(encoded)) == header
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(DefectError):
        decode_segment_header(bytes(encoded))
