"""Video and sound: what ffmpeg makes of them, in a cage.

    ffprobe --JSON--> bounds --too much--> refused
        | video: H.264 with AAC that fits 1080p is copied, everything else encoded; MP4 that plays before it is whole
        | sound: MP3 and AAC are copied, everything else becomes AAC in M4A
        +--> original.mp4 | .mp3 | .m4a, and a picture: first frame, cover, or waveform

Rules of this file
- ffmpeg reads files and pipes alone, by the one demuxer that the file's beginning asks for: no lists, no addresses.
- Metadata, chapters, subtitles and data tracks are left behind: places and cameras are told there.
- The cage bounds memory, time and output; whatever ends ffmpeg is told as "can't be converted".

Cost: a copied file 0.3 s; 1080p that is encoded about as long as it plays, on one core.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

from actors.core.errors import InvalidError
from actors.media.orphans import end_with_parent
from actors.media.processed import Made
from actors.media.sniff import GIF, Format

SIDE_MAX: Final = 1920  # of what is written, and 1920 x 1080 pixels, whichever way it stands
PIXELS_MAX: Final = 1920 * 1080
READ_SIDE_MAX: Final = 8_192  # of what is read
FRAME_RATE_MAX: Final = 60
DURATION_S_MAX: Final = 3 * 3600.0
STREAMS_MAX: Final = 32
_COMMON: Final = ("-hide_banner", "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe")
_BARE: Final = ("-map_metadata", "-1", "-map_chapters", "-1", "-bitexact", "-sn", "-dn")
_H264: Final = (
    "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-maxrate", "6M", "-bufsize", "12M", "-pix_fmt", "yuv420p",
    "-threads", "1",
)  # fmt: skip


class Converted(NamedTuple):
    """What came of a file. still: a PNG to make the thumbnail of; facts: as `cage.py` prints them."""

    facts: dict[str, Any]
    still: Path | None


def convert(source: Path, found: Format, folder: Path, pixels_max: int) -> Converted:
    """Write the renditions of video, sound or an animated GIF into a folder. Raises InvalidError."""
    demuxer = "gif" if found == GIF else found.decoder
    streams, duration_s = _probe(source, demuxer)
    pictures = [stream for stream in streams if stream.get("codec_type") == "video"]
    moving = [stream for stream in pictures if not stream.get("disposition", {}).get("attached_pic")]
    sounds = [stream for stream in streams if stream.get("codec_type") == "audio"]
    if duration_s > DURATION_S_MAX:
        raise InvalidError(
            f"the {found.name} plays {duration_s:.0f} s, and at most {DURATION_S_MAX:.0f} are taken", "file"
        )
    if moving:
        return _video(source, demuxer, folder, moving[0], sounds, found == GIF, pixels_max)
    if sounds:
        return _sound(source, demuxer, folder, sounds[0], pictures)
    raise InvalidError(f"the {found.name} holds neither pictures nor sound", "file")


def _video(
    source: Path, demuxer: str, folder: Path, stream: dict[str, Any], sounds: list[dict[str, Any]], silent: bool,
    pixels_max: int,
) -> Converted:  # fmt: skip
    width, height = _whole(stream.get("width")), _whole(stream.get("height"))
    if not (0 < width <= READ_SIDE_MAX and 0 < height <= READ_SIDE_MAX and width * height <= pixels_max):
        raise InvalidError(
            f"the video has {width} x {height} pixels; at most {READ_SIDE_MAX} a side and {pixels_max} in all are "
            "taken",
            "file",
        )  # fmt: skip
    out = folder / "original.mp4"
    sound = [] if silent or not sounds else sounds[:1]
    is_hdr = stream.get("color_transfer") in _HDR
    fits = (
        not is_hdr and
        stream.get("codec_name") == "h264" and stream.get("pix_fmt") in ("yuv420p", "yuvj420p")
        and max(width, height) <= SIDE_MAX and width * height <= PIXELS_MAX and _rate(stream) <= FRAME_RATE_MAX
    )  # fmt: skip
    scale = (
        f"scale='trunc(iw*min(1,min({SIDE_MAX}/max(iw,ih),sqrt({PIXELS_MAX}/(iw*ih))))/2)*2':"
        f"'trunc(ih*min(1,min({SIDE_MAX}/max(iw,ih),sqrt({PIXELS_MAX}/(iw*ih))))/2)*2':flags=bicubic"
    )
    even = "pad='max(2,iw)':'max(2,ih)'" if min(width, height) < 2 else ""
    rate = ["-fpsmax", str(FRAME_RATE_MAX)]
    mapped = _TONE_MAPPED if is_hdr and _has_zscale() else ""
    pictures = ["-c:v", "copy"] if fits else [*_H264, "-vf", ",".join(filter(None, (even, scale, mapped))), *rate]
    copied = bool(sound) and sound[0].get("codec_name") == "aac"
    audio = ["-map", f"0:{sound[0]['index']}", *(["-c:a", "copy"] if copied else _AAC)] if sound else ["-an"]
    _ffmpeg(
        "-f", demuxer, "-i", str(source), "-map", f"0:{stream['index']}", *pictures, *audio, *_BARE,
        "-movflags", "+faststart", "-f", "mp4", str(out),
    )  # fmt: skip
    written, duration_s = _probe(out, "mov")
    shown = next((one for one in written if one.get("codec_type") == "video"), None)
    still = folder / "still.png"
    _ffmpeg(
        "-f", "mov", "-i", str(out), "-frames:v", "1", "-map_metadata", "-1", "-f", "image2", "-c:v", "png", str(still)
    )
    if shown is None or not still.exists():
        raise InvalidError("the video holds no picture that can be shown: it is damaged", "file")
    width, height = _whole(shown.get("width")), _whole(shown.get("height"))
    if _is_turned(shown):
        width, height = height, width
    facts = _facts("gifv" if silent else "video", Made("original", out.name, width, height), duration_s, out)
    facts["frame_rate"] = round(min(_rate(shown), 1000.0), 3)
    return Converted(facts, still)


# What is shot for brighter screens than most people have would look grey on theirs.
_HDR: Final = ("smpte2084", "arib-std-b67")
_TONE_MAPPED: Final = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv,"
    "format=yuv420p"
)


def _has_zscale() -> bool:
    """Whether this ffmpeg can bring HDR to what all screens show; without it colours are as they come. 60 ms."""
    return b" zscale " in _run("ffmpeg", "-hide_banner", "-filters")


_AAC: Final = ("-c:a", "aac", "-b:a", "128k", "-ac", "2")


def _sound(
    source: Path, demuxer: str, folder: Path, stream: dict[str, Any], covers: list[dict[str, Any]]
) -> Converted:  # fmt: skip
    codec = stream.get("codec_name")
    extension = "mp3" if codec == "mp3" else "m4a"
    out = folder / f"original.{extension}"
    kept = ["-c:a", "copy"] if codec in ("mp3", "aac") else ["-c:a", "aac", "-b:a", "160k", "-ac", "2"]
    container = (
        ["-id3v2_version", "0", "-f", "mp3"] if extension == "mp3" else ["-movflags", "+faststart", "-f", "ipod"]
    )
    _ffmpeg(
        "-f", demuxer, "-i", str(source), "-map", f"0:{stream['index']}", "-vn", *kept, *_BARE, *container, str(out)
    )
    streams, duration_s = _probe(out, "mp3" if extension == "mp3" else "mov")
    if not streams or duration_s <= 0:
        raise InvalidError("the file holds no sound: it plays 0 seconds", "file")
    still = folder / "still.png"
    if covers:
        _cover(source, demuxer, covers[0], still)
    if not still.exists():
        _ffmpeg(
            "-f", "mp3" if extension == "mp3" else "mov", "-i", str(out), "-filter_complex",
            "aformat=channel_layouts=mono,showwavespic=s=640x200:colors=0x6364ff,format=rgb24", "-frames:v", "1",
            "-f", "image2", "-c:v", "png", str(still),
        )  # fmt: skip
    return Converted(
        _facts("audio", Made("original", out.name, 0, 0), duration_s, out), still if still.exists() else None
    )


def _cover(source: Path, demuxer: str, cover: dict[str, Any], still: Path) -> None:
    """Take the cover out, if it is a picture that can be read; sound without one is sound all the same."""
    if not (0 < _whole(cover.get("width")) <= READ_SIDE_MAX and 0 < _whole(cover.get("height")) <= READ_SIDE_MAX):
        return
    try:
        _ffmpeg(
            "-f", demuxer, "-i", str(source), "-map", f"0:{cover['index']}", "-frames:v", "1", "-vf",
            "scale='min(1280,iw)':-1", "-map_metadata", "-1", "-f", "image2", "-c:v", "png", str(still),
        )  # fmt: skip
    except InvalidError:
        still.unlink(missing_ok=True)


def _facts(kind: str, made: Made, duration_s: float, out: Path) -> dict[str, Any]:
    bitrate = round(out.stat().st_size * 8 / duration_s) if duration_s > 0 else 0
    return {"kind": kind, "made": [made], "blurhash": "", "duration_ms": round(duration_s * 1000), "bitrate": bitrate}


def _probe(source: Path, demuxer: str) -> tuple[list[dict[str, Any]], float]:
    """Return a file's streams and how many seconds it plays. Raises InvalidError."""
    found = _run(
        "ffprobe", "-v", "error", "-protocol_whitelist", "file,pipe", "-f", demuxer, "-print_format", "json",
        "-show_format", "-show_streams", str(source),
    )  # fmt: skip
    try:
        told = json.loads(found)
        streams = told.get("streams", [])
        durations = [told.get("format", {}).get("duration"), *(stream.get("duration") for stream in streams)]
    except (ValueError, AttributeError) as error:
        raise _not_converted() from error
    if len(streams) > STREAMS_MAX:
        raise InvalidError(f"the file has {len(streams)} tracks, and at most {STREAMS_MAX} are taken", "file")
    return streams, max((_seconds(duration) for duration in durations), default=0.0)


def _ffmpeg(*arguments: str) -> None:
    _run("ffmpeg", *_COMMON, "-y", *arguments)


def _run(program: str, *arguments: str) -> bytes:
    done = subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
        preexec_fn=end_with_parent,
    )  # fmt: skip
    if done.returncode:
        raise _not_converted()
    return done.stdout


def _not_converted() -> InvalidError:
    return InvalidError(
        "the file can't be converted: it is damaged, or of a kind that this server's ffmpeg can't read", "file"
    )


def _whole(value: Any) -> int:
    return value if type(value) is int else 0


def _seconds(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return 0.0
    return found if 0 <= found < 1e9 else 0.0


def _rate(stream: dict[str, Any]) -> float:
    """Return frames a second, 0 if the file doesn't say."""
    above, _, below = str(stream.get("avg_frame_rate", "")).partition("/")
    return float(above) / float(below) if above.isdecimal() and below.isdecimal() and int(below) else 0.0


def _is_turned(stream: dict[str, Any]) -> bool:
    """Whether players turn what is stored by a quarter."""
    sides = stream.get("side_data_list", [])
    return any(abs(_whole(side.get("rotation"))) % 180 == 90 for side in sides if isinstance(side, dict))
