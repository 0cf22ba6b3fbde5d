"""The process that a job runs in: `python -c ... actors.media.cage`, one file each, made to be broken and killed.

    jobs.py --argv: one JSON object--> enter --> images.py | page.py | video.py --> ffmpeg (inherits the cage)
            <--stdout: one JSON object--         files in the job's folder

Rules of this file
- The cage is entered before the file is opened, and for good: bounds of memory, processor, output and open files; no
  sockets (seccomp, where the kernel and the processor's make are known); no new privileges; ends with its parent.
- What comes out is a refusal in words, or file names, kinds and numbers; `jobs.py` believes none of it unseen.
- Only what a job needs is imported.

Cost: 0.1 s of the processor and 25 MB before the file is looked at.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import struct
import sys
from pathlib import Path
from typing import Any, Final

from actors.core.errors import InvalidError, TooLargeError
from actors.media.orphans import end_with_parent
from actors.media.sniff import GIF, Format, sniff

MIB: Final = 1 << 20
IMAGE_MEMORY_BYTES: Final = 1024 * MIB  # of addresses, of which libvips' own code is 60 MB
VIDEO_MEMORY_BYTES: Final = 3072 * MIB  # ffmpeg with x264 at 1080p takes 0.4 GB, and much is only reserved
PAGE_MEMORY_BYTES: Final = 512 * MIB
PAGE_CPU_S: Final = 10
IMAGE_CPU_S: Final = 40
VIDEO_CPU_S: Final = 1_800
OPEN_FILES_MAX: Final = 64
PAGE: Final = "page"  # in place of a purpose: the file is HTML, to be read and not to be shown
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
# By the processor's make: its number for seccomp, then those of socket, socketpair, io_uring_setup and ptrace.
_FORBIDDEN_CALLS: Final = {
    "x86_64": (0xC000003E, (41, 53, 425, 101)),
    "aarch64": (0xC00000B7, (198, 199, 425, 117)),
}


def enter(memory_bytes: int, cpu_s: int, output_bytes: int, idle: bool) -> None:
    """Bound this process and all that it starts. idle: it runs only where nobody else wants the processor."""
    libc = ctypes.CDLL(None, use_errno=True)
    end_with_parent(libc)
    os.nice(19 - os.nice(0))
    if idle and hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES_MAX), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        resource.setrlimit(limit, (value, value))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        _forbid_sockets(libc)


def _forbid_sockets(libc: Any) -> bool:
    """Have the kernel answer EACCES to a handful of calls. Returns whether it does."""
    known = _FORBIDDEN_CALLS.get(platform.machine())
    if known is None:
        return False
    architecture, calls = known
    load, jump, answer = 0x20, 0x15, 0x06  # BPF: load a word, compare with a constant, end
    refuse, allow = 0x00050000 | 13, 0x7FFF0000
    rows = [
        (load, 0, 0, 4), (jump, 1, 0, architecture), (answer, 0, 0, refuse), (load, 0, 0, 0),
        *((jump, len(calls) - index, 0, call) for index, call in enumerate(calls)),
        (answer, 0, 0, allow), (answer, 0, 0, refuse),
    ]  # fmt: skip
    program = b"".join(struct.pack("=HBBI", *row) for row in rows)
    held = ctypes.create_string_buffer(program)
    filter_program = struct.pack("@HP", len(rows), ctypes.addressof(held))
    return bool(libc.prctl(_PR_SET_SECCOMP, 2, ctypes.create_string_buffer(filter_program), 0, 0) == 0)


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """Do what `jobs.py` asks: `source`, `folder`, `purpose`, `pixels_max`, `ffmpeg`. Raises InvalidError."""
    source, folder, purpose = Path(job["source"]), Path(job["folder"]), job["purpose"]
    if purpose == PAGE:
        return _page(source, job)
    found = sniff(source, takes_moving=job["ffmpeg"] and purpose == "attachment")
    size_max = job["image_bytes_max"] if found.is_image else job["video_bytes_max"]
    if (size := source.stat().st_size) > size_max:
        raise TooLargeError(f"the {found.name} has {size} bytes, and at most {size_max} are taken", "file")
    moves = not found.is_image
    enter(
        VIDEO_MEMORY_BYTES if moves else IMAGE_MEMORY_BYTES, VIDEO_CPU_S if moves else IMAGE_CPU_S,
        job["output_bytes_max"], moves and job["idle"],
    )  # fmt: skip
    return _moving(job, source, folder, found) if moves else _image(job, source, folder, found)


def _page(source: Path, job: dict[str, Any]) -> dict[str, Any]:
    from actors.media.page import read_page

    enter(PAGE_MEMORY_BYTES, PAGE_CPU_S, MIB, False)
    return {"page": list(read_page(source, job["charset"]))}


def _image(job: dict[str, Any], source: Path, folder: Path, found: Format) -> dict[str, Any]:
    from actors.media import images, vips

    vips.start()
    if found == GIF and job["purpose"] == "attachment":
        header = images.read_header(source, found, job["pixels_max"])
        if header.frames > 1:
            if not job["ffmpeg"]:
                raise InvalidError("the GIF moves, and this server takes no moving pictures; send a still one", "file")
            return _moving(job, source, folder, found)
    made, blurhash = images.make_renditions(source, found, job["purpose"], folder, job["pixels_max"])
    return {"kind": "image", "made": made, "blurhash": blurhash}


def _moving(job: dict[str, Any], source: Path, folder: Path, found: Format) -> dict[str, Any]:
    from actors.media import images, video, vips

    done = video.convert(source, found, folder, job["pixels_max"])
    if done.still is not None:
        vips.start()
        try:
            small, done.facts["blurhash"] = images.make_small(done.still, folder)
            done.facts["made"].append(small)
        except vips.VipsError as error:
            raise InvalidError("no picture could be taken from the file: it is damaged", "file") from error
    return done.facts


def main() -> None:
    """Do the job that the command line holds, and print what came of it."""
    job = json.loads(sys.argv[1])
    try:
        told = run_job(job)
    except InvalidError as error:
        told = {"refused": error.message}
    except TooLargeError as error:
        told = {"refused": error.message, "too_large": True}
    except MemoryError:
        told = {"refused": "the file takes more memory to read than this server gives it; make it smaller"}
    print(json.dumps(told))
