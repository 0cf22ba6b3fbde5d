"""What clients send over WebSockets, byte by byte: RFC 6455, sizes, UTF-8, and anything at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT

from api.streaming.frames import (
    FRAMES_AT_ONCE_MAX,
    MESSAGE_BYTES_MAX,
    ClientBytes,
    FrameError,
    Said,
    close_code_of,
    close_frame,
    escaped,
    message,
    sse_event,
)


def masked(opcode: int, data: bytes = b"", fin: bool = True, **bits: bool) -> bytes:
    """A frame as a client sends it, whether or not it may."""
    head = bytearray([(fin << 7) | (bits.get("rsv1", False) << 6) | opcode])
    if len(data) < 126:
        head.append(0x80 | len(data))
    elif len(data) < 1 << 16:
        head += b"\xfe" + len(data).to_bytes(2, "big")
    else:
        head += b"\xff" + len(data).to_bytes(8, "big")
    mask = b"\x01\x02\x03\x04"
    return bytes(head) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def feed(*pieces: bytes) -> tuple[list[Said], FrameError | None]:
    """Return what is understood of some pieces, and what is wrong with the rest."""
    incoming, said = ClientBytes(), list[Said]()
    try:
        for piece in pieces:
            for each in incoming.feed(piece):  # one by one: what comes before an error counts
                said.append(each)
    except FrameError as error:
        return said, error
    return said, None


def test_a_message_in_one_frame_is_said():
    assert feed(masked(TEXT, "hallo ü".encode())) == ([Said(TEXT, "hallo ü".encode())], None)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 4096, MESSAGE_BYTES_MAX])
def test_messages_of_all_lengths_are_said(size):
    assert feed(masked(TEXT, b"x" * size)) == ([Said(TEXT, b"x" * size)], None)


def test_bytes_that_come_one_by_one_say_the_same():
    sent = masked(PING, b"1") + masked(TEXT, b"ab", False) + masked(PING, b"2") + masked(CONT, b"c") + masked(CLOSE)
    incoming, said = ClientBytes(), list[Said]()
    for at in range(len(sent)):
        said += incoming.feed(sent[at : at + 1])
    assert said == [Said(PING, b"1"), Said(PING, b"2"), Said(TEXT, b"abc"), Said(CLOSE, b"")]
    assert incoming.is_empty


def test_a_reader_is_empty_only_between_messages():
    incoming = ClientBytes()
    assert incoming.is_empty
    assert list(incoming.feed(masked(TEXT, b"ab", False))) == []
    assert not incoming.is_empty
    assert list(incoming.feed(masked(CONT, b"c")[:3])) == []
    assert list(incoming.feed(masked(CONT, b"c")[3:])) == [Said(TEXT, b"abc")]
    assert incoming.is_empty


WRONG = {
    "not masked": (b"\x81\x01a", 1002),
    "a reserved bit": (masked(TEXT, b"a", rsv1=True), 1002),
    "an opcode that there isn't": (masked(3, b"a"), 1002),
    "a control opcode that there isn't": (masked(11), 1002),
    "a ping of two frames": (masked(PING, b"a", False), 1002),
    "a ping of 126 bytes": (masked(PING, b"a" * 126), 1002),
    "a close of 126 bytes": (masked(CLOSE, b"\x03\xe8" + b"a" * 124), 1002),
    "a continuation of nothing": (masked(CONT, b"a"), 1002),
    "an end of nothing": (masked(CONT), 1002),
    "a message inside another": (masked(TEXT, b"a", False) + masked(TEXT, b"b"), 1002),
    "bytes": (masked(BINARY, b"a"), 1003),
    "no UTF-8": (masked(TEXT, b"\xff"), 1007),
    "UTF-8 that ends in the middle": (masked(TEXT, b"\xc3"), 1007),
    "a surrogate": (masked(TEXT, b"\xed\xa0\x80"), 1007),
    "no UTF-8 in a first fragment": (masked(TEXT, b"a\xff", False), 1007),
    "no UTF-8 across fragments": (masked(TEXT, b"\xc3", False) + masked(CONT, b"a", False), 1007),
    "too long": (masked(TEXT, b"a" * (MESSAGE_BYTES_MAX + 1)), 1009),
    "too long together": (masked(TEXT, b"a" * MESSAGE_BYTES_MAX, False) + masked(CONT, b"a"), 1009),
    "a length of 2**63": (b"\x81\xff" + (1 << 63).to_bytes(8, "big"), 1009),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_the_protocol_forbids_is_refused_by_its_code_behind_what_was_right(name):
    wrong, code = WRONG[name]
    said, error = feed(masked(PING, b"before") + wrong)
    assert said == [Said(PING, b"before")]
    assert error is not None
    assert error.code == code


def test_a_message_that_claims_to_be_too_long_is_refused_by_its_head():
    _, error = feed(masked(TEXT, b"a" * (MESSAGE_BYTES_MAX + 1))[:4])
    assert error is not None
    assert error.code == 1009


def test_utf8_may_be_cut_between_fragments_anywhere():
    text = "a\u00e4\u20ac\U0001f600".encode()
    for at in range(len(text) + 1):
        sent = masked(TEXT, text[:at], False) + masked(PING) + masked(CONT, text[at:])
        assert feed(sent) == ([Said(PING, b""), Said(TEXT, text)], None)


def test_more_frames_at_once_than_make_sense_are_refused():
    assert feed(masked(PONG) * FRAMES_AT_ONCE_MAX)[1] is None
    said, error = feed(masked(PONG) * (FRAMES_AT_ONCE_MAX + 1))
    assert len(said) == FRAMES_AT_ONCE_MAX
    assert error is not None
    assert error.code == 1008


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_codes_that_a_client_may_close_with_are_taken(code):
    assert close_code_of(code.to_bytes(2, "big") + b"bye") == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_codes_that_nobody_may_send_are_refused(code):
    with pytest.raises(FrameError) as refused:
        close_code_of(code.to_bytes(2, "big"))
    assert refused.value.code == 1002


@pytest.mark.parametrize(("data", "code"), [(b"\x03", 1002), (b"\x03\xe8\xff", 1007)])
def test_a_close_that_is_none_is_refused(data, code):
    with pytest.raises(FrameError) as refused:
        close_code_of(data)
    assert refused.value.code == code


def test_a_reason_is_cut_at_a_character():
    frame = close_frame(1001, "ü" * 200)
    assert len(frame) <= 2 + 125
    assert frame[4:].decode() == "ü" * 61
    assert close_frame(1005) == b"\x88\x00"


def test_events_are_written_as_clients_read_them():
    assert message(b'["user"]', "delete", escaped(b"5"), "c")[2:] == (
        b'{"stream":["user"],"event":"delete","payload":"5","id":"c"}'
    )
    assert message(b'["user"]', "filters_changed", None, "")[2:] == b'{"stream":["user"],"event":"filters_changed"}'
    assert sse_event("delete", b"5", "c") == b"event: delete\ndata: 5\nid: c\n\n"
    assert sse_event("delete", b"5", "") == b"event: delete\ndata: 5\n\n"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_are_understood_or_refused_whichever_way_they_are_cut(pieces):
    whole, error = feed(b"".join(pieces))
    cut, cut_error = feed(*pieces)
    assert cut == whole
    assert (error and error.code) == (cut_error and cut_error.code)


frames = st.tuples(
    st.sampled_from((0, 1, 1, 8, 9, 10, 2, 3)), st.binary(max_size=130), st.booleans(),
    st.sampled_from((False,) * 9 + (True,)),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(frames, max_size=12), st.integers(1, 30))
def test_any_frames_are_understood_or_refused_whichever_way_they_are_cut(sent, size):
    data = b"".join(masked(opcode, said, fin, rsv1=rsv1) for opcode, said, fin, rsv1 in sent)
    whole, error = feed(data)
    cut, cut_error = feed(*(data[at : at + size] for at in range(0, len(data), size)))
    assert cut == whole
    assert (error and error.code) == (cut_error and cut_error.code)
