"""Jobs on files that people have, and on those that were made to do harm."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest

from actors.core.errors import InvalidError, TooLargeError
from actors.media.jobs import Bounds, Jobs, clear, has_ffmpeg
from tests.components import needs_ffmpeg
from tests.media import samples

BOUNDS = Bounds(16 << 20, 99 << 20, 33_000_000, has_ffmpeg(), idle=False)
FUZZED_COUNT = int(os.environ.get("FUZZ_EXAMPLES", "100"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    samples.make_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moving")
    samples.make_moving(folder)
    return folder


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path / "jobs", BOUNDS)


def shapes(done) -> dict[str, tuple[str, int, int]]:
    return {piece.rendition: (piece.extension, piece.width, piece.height) for piece in done.pieces}


def refusal(jobs, source, purpose="attachment", timeout_s=600.0) -> str:
    with pytest.raises(InvalidError) as caught, jobs.run(source, purpose, timeout_s):
        pass
    assert not list(jobs.folder.iterdir()), "the job's folder is gone"
    return caught.value.message


def outcome(jobs, source) -> tuple[dict, str]:
    """Return the shapes of what was made, and why nothing was."""
    try:
        with jobs.run(source, "attachment") as done:
            return shapes(done), ""
    except InvalidError as error:
        return {}, error.message


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "extension", "small"),
    [
        ("plain.jpg", "jpg", "jpg"), ("cmyk.jpg", "jpg", "jpg"), ("sixteen.png", "png", "jpg"),
        ("clear.png", "png", "webp"), ("plain.webp", "webp", "jpg"), ("hdr.avif", "jpg", "jpg"),
        ("plain.gif", "png", "webp"), ("wide-colours.jpg", "jpg", "jpg"), ("grey.png", "png", "jpg"),
    ],
)  # fmt: skip
def test_pictures_of_all_kinds_become_ones_that_every_browser_shows(jobs, files, name, extension, small):
    with jobs.run(files / name, "attachment") as done:
        assert done.kind == "image"
        assert shapes(done) == {"original": (extension, 64, 48), "small": (small, 64, 48)}
        assert len(done.blurhash) == 28


def test_where_and_with_what_a_picture_was_taken_is_in_no_rendition(jobs, files, tmp_path):
    source = tmp_path / "photo.jpg"
    source.write_bytes(samples.with_exif((files / "plain.jpg").read_bytes(), 1) + b"<script>secret-tail</script>")
    for purpose in ("attachment", "avatar", "header"):
        with jobs.run(source, purpose) as done:
            for piece in done.pieces:
                body = piece.path.read_bytes()
                assert b"Exif" not in body
                assert b"secret" not in body


def test_a_rotated_picture_is_turned_upright(jobs, files, tmp_path):
    source = tmp_path / "photo.jpg"
    source.write_bytes(samples.with_exif((files / "plain.jpg").read_bytes(), 6))
    with jobs.run(source, "attachment") as done:
        assert shapes(done)["original"] == ("jpg", 48, 64)


@needs_ffmpeg
def test_avatars_and_headers_are_cropped_and_have_a_still_if_they_move(jobs, files, moving):
    with jobs.run(files / "plain.png", "avatar") as done:
        assert shapes(done) == {"original": ("jpg", 400, 400)}
    with jobs.run(moving / "moving.gif", "avatar") as done:
        assert shapes(done) == {"original": ("webp", 400, 400), "static": ("webp", 400, 400)}
    with jobs.run(files / "plain.webp", "header") as done:
        assert shapes(done) == {"original": ("jpg", 1500, 500)}


def test_odd_sizes_and_apngs(jobs, files, tmp_path):
    with jobs.run(files / "odd.png", "attachment") as done:
        assert shapes(done)["original"] == ("png", 1, 7)
    source = tmp_path / "a.png"
    source.write_bytes(samples.apng((files / "plain.png").read_bytes()))
    with jobs.run(source, "attachment") as done:
        assert (done.kind, shapes(done)["original"]) == ("image", ("png", 64, 48))
        assert b"acTL" not in done.pieces[0].path.read_bytes()


@needs_ffmpeg
def test_an_animated_webp_moves_still(jobs, moving):
    with jobs.run(moving / "moving.webp", "attachment") as done:
        assert shapes(done) == {"original": ("webp", 64, 48), "small": ("webp", 64, 48)}
        assert b"ANMF" in done.pieces[0].path.read_bytes()


@pytest.mark.parametrize(
    ("size", "original", "small"), [((1, 1), (1, 1), (1, 1)), ((10_000, 1), (10_000, 1), (10_000, 1))]
)
def test_pictures_of_the_oddest_sizes(jobs, tmp_path, size, original, small):
    for sides in (size, size[::-1]):
        samples.make_pictures(tmp_path, ["plain.png"], sides)
        turn = 1 if sides == size else -1
        with jobs.run(tmp_path / "plain.png", "attachment") as done:
            assert shapes(done) == {"original": ("png", *original[::turn]), "small": ("jpg", *small[::turn])}


def test_a_large_picture_is_made_smaller(jobs, tmp_path):
    samples.make_pictures(tmp_path, ["plain.jpg"], (4000, 3000))
    with jobs.run(tmp_path / "plain.jpg", "attachment") as done:
        assert shapes(done) == {"original": ("jpg", 3325, 2494), "small": ("jpg", 554, 416)}


# --- video and sound --------------------------------------------------------------------------------------------------


@needs_ffmpeg
def test_video_that_fits_is_copied_without_what_it_says_of_places(jobs, moving):
    with jobs.run(moving / "plain.mp4", "attachment") as done:
        assert (done.kind, shapes(done)) == ("video", {"original": ("mp4", 160, 120), "small": ("jpg", 160, 120)})
        assert (done.duration_ms, done.frame_rate) == (1000, 10.0)
        path = next(piece.path for piece in done.pieces if piece.rendition == "original")
        body = path.read_bytes()
        assert b"secret" not in body
        assert b"52.52" not in body
        assert body.index(b"moov") < body.index(b"mdat"), "it plays before it is whole"
        assert [stream["codec_name"] for stream in samples.probed(path)["streams"]] == ["h264", "aac"]


@needs_ffmpeg
def test_other_video_is_encoded_to_an_even_size_within_bounds(jobs, moving):
    with jobs.run(moving / "plain.webm", "attachment") as done:
        assert shapes(done)["original"] == ("mp4", 80, 62)
    with jobs.run(moving / "large.mp4", "attachment") as done:
        assert shapes(done)["original"] == ("mp4", 1920, 800)


@needs_ffmpeg
def test_a_portrait_video_stands_upright(jobs, moving, tmp_path):
    samples.ffmpeg("-i", str(moving / "plain.mp4"), "-c", "copy", "-metadata:s:v", "rotate=90", str(tmp_path / "p.mp4"))
    with jobs.run(tmp_path / "p.mp4", "attachment") as done:
        assert shapes(done) == {"original": ("mp4", 120, 160), "small": ("jpg", 120, 160)}


@needs_ffmpeg
def test_a_portrait_video_that_is_encoded_anew_stands_upright(jobs, tmp_path):
    turned = tmp_path / "p.mov"
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc=s=161x91:d=0.2:r=5", "-c:v", "mjpeg", str(tmp_path / "wide.mov"))
    samples.ffmpeg("-i", str(tmp_path / "wide.mov"), "-c", "copy", "-metadata:s:v", "rotate=270", str(turned))
    with jobs.run(turned, "attachment") as done:
        assert shapes(done) == {"original": ("mp4", 90, 160), "small": ("jpg", 90, 160)}


@needs_ffmpeg
def test_video_for_brighter_screens_is_not_grey_on_others(jobs, tmp_path):
    """White of HDR10, at some 1,000 nits: as it comes a grey of 190, mapped nearly white."""
    hdr = tmp_path / "hdr.mp4"
    samples.ffmpeg(
        "-f", "lavfi", "-i", "color=white:s=64x48:d=0.2:r=5", "-vf", "format=yuv420p10le,eq=brightness=-0.25",
        "-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
        "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc", "-tag:v", "hvc1", str(hdr),
    )  # fmt: skip
    (stream,) = samples.probed(hdr)["streams"]
    assert stream["color_transfer"] == "smpte2084"
    with jobs.run(hdr, "attachment") as done:
        path = next(piece.path for piece in done.pieces if piece.rendition == "original")
        (stream,) = samples.probed(path)["streams"]
        assert (stream["pix_fmt"], stream.get("color_transfer", "bt709")) == ("yuv420p", "bt709")
        assert min(samples.middle_of(path)) > 225


@needs_ffmpeg
@pytest.mark.parametrize(("size", "made"), [("1x1", (2, 2)), ("3x501", (2, 500))])
def test_video_of_odd_sizes_becomes_even(jobs, tmp_path, size, made):
    shape = ["-vf", f"scale={size.replace('x', ':')},format=rgb24"]
    samples.ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:d=0.2:r=5", *shape, "-c:v", "png", str(tmp_path / "odd.mov"))
    with jobs.run(tmp_path / "odd.mov", "attachment") as done:
        assert shapes(done)["original"] == ("mp4", *made)


@needs_ffmpeg
def test_an_animated_gif_becomes_a_silent_video(jobs, moving):
    with jobs.run(moving / "moving.gif", "attachment") as done:
        assert done.kind == "gifv"
        assert shapes(done)["original"] == ("mp4", 64, 48)
        assert done.duration_ms > 0


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "extension"),
    [("plain.mp3", "mp3"), ("plain.m4a", "m4a"), ("plain.ogg", "m4a"), ("plain.flac", "m4a"), ("plain.wav", "m4a")],
)
def test_sound_is_playable_everywhere_and_has_a_picture(jobs, moving, name, extension):
    with jobs.run(moving / name, "attachment") as done:
        assert done.kind == "audio"
        assert shapes(done) == {"original": (extension, 0, 0), "small": ("jpg", 640, 200)}
        assert 900 < done.duration_ms < 1200
        assert all(b"secret" not in piece.path.read_bytes() for piece in done.pieces)


# --- what is refused --------------------------------------------------------------------------------------------------


@needs_ffmpeg
def test_sound_of_no_length_is_refused(jobs, moving):
    assert "0 seconds" in refusal(jobs, moving / "silent.wav")


def test_files_that_are_none_of_ours_are_refused_by_name(jobs, tmp_path):
    source = tmp_path / "file"
    for body, said in (
        (b"", "empty"), (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "SVG"),
        (b"<!DOCTYPE html><html>", "HTML"), (b"%PDF-1.7", "PDF"), (b"PK\x03\x04", "ZIP"), (b"II*\0", "TIFF"),
        (b"#EXTM3U\n/etc/passwd", "a playlist"), (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"), (b"hello", "no kind"),
        (b"ffconcat version 1.0\nfile /etc/passwd", "no kind"),
    ):  # fmt: skip
        source.write_bytes(body)
        assert said in refusal(jobs, source)


def test_bombs_are_refused_by_their_headers(jobs, tmp_path):
    source = tmp_path / "file"
    for body, said in (
        (samples.png_bomb(30_000), "30000 x 30000"), (samples.gif_bomb(30_000, 1), "30000 x 30000"),
        (samples.webp_bomb(16_000), "damaged"), (samples.gif_bomb(64, 1_200), "1200 frames"),
        (samples.gif_bomb(5_000, 900), "900 frames"),
    ):  # fmt: skip
        source.write_bytes(body)
        assert said in refusal(jobs, source)


@needs_ffmpeg
def test_a_video_that_says_it_is_huge_is_refused(jobs, moving, tmp_path):
    body = (moving / "plain.mp4").read_bytes()
    at = body.index(b"avc1", body.index(b"stsd"))
    huge = body[: at + 28] + b"\x75\x30\x75\x30" + body[at + 32 :]
    (tmp_path / "huge.mp4").write_bytes(huge)
    made, refused = outcome(jobs, tmp_path / "huge.mp4")
    assert refused or made["original"] == ("mp4", 160, 120), "it may be as large as its pictures really are"


def test_files_that_end_too_soon_are_refused(jobs, files, tmp_path):
    for name in ("plain.jpg", "plain.png", "plain.webp", "plain.gif", "plain.avif"):
        body = (files / name).read_bytes()
        (tmp_path / name).write_bytes(body[: len(body) * 2 // 3])
        assert "damaged" in refusal(jobs, tmp_path / name), name


def test_a_file_above_its_kinds_bound_is_too_large(tmp_path, files):
    strict = Jobs(tmp_path / "jobs", Bounds(100, 100, 33_000_000, True, False))
    with pytest.raises(TooLargeError, match="at most 100"), strict.run(files / "plain.png", "attachment"):
        pass


@needs_ffmpeg
def test_without_ffmpeg_what_moves_is_refused_with_what_would_be_right(tmp_path, moving):
    still = Jobs(tmp_path / "jobs", Bounds(16 << 20, 99 << 20, 33_000_000, False, False))
    assert "no moving pictures" in refusal(still, moving / "moving.gif")
    (tmp_path / "a.mp3").write_bytes(b"ID3")
    assert "JPEG, PNG" in refusal(still, tmp_path / "a.mp3")


# --- the cage ---------------------------------------------------------------------------------------------------------

_ESCAPE = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
from actors.media import cage
cage.enter(1 << 30, 5, 1 << 20, False)
refused = []
for attempt in (socket.socket, socket.socketpair, lambda: bytearray(2 << 30), lambda: os.write(
        os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY), bytes((1 << 20) + 1)) > 1 << 20 or 1 / 0,
        lambda: [os.open("/dev/null", 0) for _ in range(100)]):
    try:
        attempt()
    except (OSError, MemoryError, ZeroDivisionError) as error:
        refused.append(type(error).__name__)
print(refused, os.nice(0))
"""


def test_a_cage_has_no_sockets_and_little_memory_output_and_files(tmp_path):
    command = [sys.executable, "-c", _ESCAPE, str(samples.REPOSITORY), str(tmp_path / "out")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    refused = ["PermissionError", "PermissionError", "MemoryError", "ZeroDivisionError", "OSError"]
    assert said.strip() == f"{refused} 19"


def test_a_job_that_takes_too_long_is_ended_with_all_that_it_has_started(jobs, files):
    assert "more than 0 s" in refusal(jobs, files / "plain.jpg", timeout_s=0.0)


def test_what_nobody_has_touched_for_an_hour_goes(tmp_path):
    old, new, folder = tmp_path / "old", tmp_path / "new", tmp_path / "job-1"
    folder.mkdir()
    for path in (old, new, folder / "x"):
        path.write_bytes(b"x")
    for path in (old, folder):
        os.utime(path, (0, 0))
    assert clear(tmp_path, 3600.0, time.time()) == 2
    assert list(tmp_path.iterdir()) == [new]


_FUZZ = """
import json, os, random, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from actors.core.errors import InvalidError
from actors.media import cage, images, vips
from actors.media.sniff import sniff
source, folder, seed, count = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], int(sys.argv[5])
body, dice, ends = source.read_bytes(), random.Random(seed), {}
vips.start()
cage.enter(2 << 30, 600, 64 << 20, False)
for number in range(count):
    changed = bytearray(body)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    if dice.random() < 0.2:
        del changed[dice.randrange(len(changed)):]
    file = folder / "fuzzed"
    file.write_bytes(changed)
    try:
        images.make_renditions(file, sniff(file, False), "attachment", folder, 1_000_000)
        end = "made"
    except InvalidError as error:
        assert error.message.strip(), number
        end = "refused"
    ends[end] = ends.get(end, 0) + 1
print(json.dumps(ends))
"""


@pytest.mark.parametrize("name", ["plain.jpg", "plain.png", "plain.webp", "plain.gif", "plain.avif"])
def test_damaged_pictures_are_refused_or_made_whole(tmp_path_factory, name):
    """Through one process of a cage for all of them: a crash in any ends it."""
    folder = tmp_path_factory.mktemp("fuzzed")
    samples.make_pictures(folder, [name], (24, 16))
    seed = str(random.randrange(1 << 32))
    command = [
        sys.executable, "-c", _FUZZ, str(samples.REPOSITORY), str(folder / name), str(folder), seed, str(FUZZED_COUNT),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (seed, done.stderr[-2000:])


@needs_ffmpeg
@pytest.mark.parametrize("name", ["plain.mp4", "plain.webm", "plain.mp3", "plain.ogg", "plain.flac", "plain.wav"])
def test_damaged_video_and_sound_are_refused_or_made_whole(jobs, moving, tmp_path, name):
    body, seed = (moving / name).read_bytes(), random.randrange(1 << 32)
    dice = random.Random(seed)
    for _ in range(max(1, FUZZED_COUNT // 100)):
        changed = bytearray(body)
        for _ in range(dice.choice((1, 5, 50))):
            changed[dice.randrange(min(len(changed), 4_000))] = dice.randrange(256)
        (tmp_path / name).write_bytes(changed)
        made, refused = outcome(jobs, tmp_path / name)
        assert bool(made) != bool(refused), seed
