"""Files of all the kinds that people have, made when they are needed, by libvips and ffmpeg themselves.

Rules of this file
- libvips runs in processes of their own here as there: what a test makes with it can't break the tests' process.
- Small: a job's cost is then that of its process.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

# Each line: file, then steps: [operation, options] applied to the image before; the last one is a saver.
_PICTURES = {
    "plain.jpg": [["jpegsave", {"Q": 90}]],
    "plain.png": [["pngsave", {}]],
    "plain.webp": [["webpsave", {}]],
    "plain.gif": [["gifsave", {}]],
    "plain.avif": [["heifsave", {"compression": "av1", "effort": 0}]],
    "odd.png": [["resize", {"scale": 0.016, "vscale": 0.15}], ["pngsave", {}]],
    "cmyk.jpg": [["colourspace", {"space": "cmyk"}], ["jpegsave", {}]],
    "sixteen.png": [["colourspace", {"space": "rgb16"}], ["pngsave", {"bitdepth": 16}]],
    "grey.png": [["colourspace", {"space": "b-w"}], ["pngsave", {}]],
    "clear.png": [["bandjoin_const", {"c": [100]}], ["pngsave", {}]],
    "wide-colours.jpg": [
        ["icc_transform", {"input-profile": "srgb", "output-profile": "p3"}], ["jpegsave", {"profile": "p3"}],
    ],
    "hdr.avif": [
        ["colourspace", {"space": "rgb16"}], ["heifsave", {"compression": "av1", "effort": 0, "bitdepth": 10}],
    ],
}  # fmt: skip

_MAKE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from actors.media import vips
vips.start()
def scene(width, height):
    red = vips.run("grey", width=width, height=height, uchar="true")
    pair = vips.run("bandjoin_const", image=red, c=[200, 60])
    return vips.run("copy", image=pair, interpretation="srgb")
for path, (steps, size) in json.loads(sys.argv[2]).items():
    image = scene(*size)
    for operation, options in steps[:-1]:
        image = vips.run(operation, image=image, **options)
    operation, options = steps[-1]
    vips.write(operation, image, Path(path), **options)
"""

_MOVING = {
    "moving.gif": "-f lavfi -i testsrc=s=64x48:d=0.5:r=10",
    "moving.webp": "-f lavfi -i testsrc=s=64x48:d=0.5:r=10 -c:v libwebp_anim",
    "plain.mp4": "-f lavfi -i testsrc=s=160x120:d=1:r=10 -f lavfi -i sine=d=1 -c:v libx264 -preset ultrafast "
    "-pix_fmt yuv420p -c:a aac -metadata location=+52.5200+013.4050/ -metadata title=secret-title",
    "large.mp4": "-f lavfi -i testsrc=s=2400x1000:d=0.2:r=5 -c:v libx264 -preset ultrafast -pix_fmt yuv420p",
    "plain.webm": "-f lavfi -i testsrc=s=81x63:d=1:r=5 -c:v libvpx -threads 1",
    "plain.mp3": "-f lavfi -i sine=d=1 -metadata title=secret-title",
    "plain.m4a": "-f lavfi -i sine=d=1 -c:a aac",
    "plain.ogg": "-f lavfi -i sine=d=1",
    "plain.flac": "-f lavfi -i sine=d=1",
    "plain.wav": "-f lavfi -i sine=d=1",
    "silent.wav": "-f lavfi -i sine=d=1 -t 0",
}


def make_pictures(folder: Path, names: list[str] | None = None, size: tuple[int, int] = (64, 48)) -> None:
    """Make pictures in a folder; all of them by default."""
    wanted = {str(folder / name): (_PICTURES[name], size) for name in names or _PICTURES}
    subprocess.run([sys.executable, "-c", _MAKE, str(REPOSITORY), json.dumps(wanted)], check=True)


def make_moving(folder: Path, names: list[str] | None = None) -> None:
    """Make video and sound in a folder; all of it by default."""
    for name in names or _MOVING:
        ffmpeg(*_MOVING[name].split(), str(folder / name))


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg, which has to do as it is told."""
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True, stdin=subprocess.DEVNULL)


def probed(path: Path) -> dict:
    """Return what ffprobe says of a file."""
    command = ["ffprobe", "-v", "error", "-print_format", "json", "-show_format", "-show_streams", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def middle_of(path: Path) -> tuple[int, ...]:
    """Return the colour in the middle of a video's first picture, as browsers show it: red, green, blue."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-frames:v",
        "1",
        "-vf",
        "scale=1:1,format=rgb24",
        "-f",
        "rawvideo",
        "-",
    ]
    return tuple(subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout)


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """Return a JPEG with what phones write: which way it was held, and where (GPS), with a maker's note to look for."""
    place = b"secret-place\0"
    entries = [
        struct.pack("<HHII", 0x010E, 2, len(place), 8 + 2 + 3 * 12 + 4),  # description
        struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0),
        struct.pack("<HHII", 0x8825, 4, 1, 8 + 2 + 3 * 12 + 4 + len(place)),  # where the GPS table lies
    ]
    gps = struct.pack("<H", 1) + struct.pack("<HHI4s", 1, 2, 2, b"N\0\0\0") + struct.pack("<I", 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 3) + b"".join(entries) + struct.pack("<I", 0) + place + gps
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(side: int) -> bytes:
    """Return a PNG of a few KB that says it has side x side pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(100_000))) + png_chunk(b"IEND", b"")


def gif_bomb(side: int, frames: int) -> bytes:
    """Return a GIF that says it has so many frames of side x side pixels."""
    frame = (
        b"\x21\xf9\x04\x00\x01\x00\x00\x00\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00"
    )
    return b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\x00\x00" + bytes(6) + frame * frames + b"\x3b"


def webp_bomb(side: int) -> bytes:
    """Return a WebP whose canvas is side x side pixels."""
    canvas = struct.pack("<I", 2) + (side - 1).to_bytes(3, "little") * 2
    chunks = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def apng(png: bytes) -> bytes:
    """Return a PNG as the first frame of an APNG that says it has two."""
    header_end = 8 + 25
    control = png_chunk(b"acTL", struct.pack(">II", 2, 0))
    return png[:header_end] + control + png[header_end:]
