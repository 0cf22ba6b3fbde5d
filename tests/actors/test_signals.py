"""What a stop does that takes too long, and how one for make alone is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil

from bench.processes import REPOSITORY
from commands.local_ray import RAY_FOLDER_FILE
from tests.components import needs_program
from tests.stopping import listen_to_the_terminal

HANGS = """
import functools, subprocess, sys, time
from pathlib import Path
from commands.local_ray import give_up_ray, make_ray_folder
from commands.signals import Signals
data = Path(sys.argv[1])
(make_ray_folder(data) / "session").mkdir()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
Signals(print).stop_within(0.1, functools.partial(give_up_ray, data))
time.sleep(600)
"""


def test_what_hangs_is_given_up_with_status_0_and_leaves_neither_processes_nor_the_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", HANGS, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    child, said = done.stdout.splitlines()
    assert said == "not everything has stopped within 0 s; what was acknowledged is in the journals"
    assert not psutil.pid_exists(int(child)) or psutil.Process(int(child)).status() == psutil.STATUS_ZOMBIE
    assert not (tmp_path / RAY_FOLDER_FILE).exists()


def test_a_failure_at_the_end_does_not_keep_it():
    script = "import time; from commands.signals import Signals; Signals(print).stop_within(0.1, lambda: 1 / 0)"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; time.sleep(600)"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0


SERVES = """
from commands.signals import Signals
signals = Signals(print)
signals.install()
print("serving", flush=True)
signals.wait()
print("told", flush=True)
"""


@needs_program("make")
def test_a_sigint_for_make_alone_is_noticed_by_what_it_runs(tmp_path):
    script, makefile = tmp_path / "serves.py", tmp_path / "Makefile"
    script.write_text(SERVES)
    makefile.write_text(f"run:\n\t@{sys.executable} {script}\n")
    with subprocess.Popen(
        ["make", "--no-print-directory", "-f", str(makefile), "run"], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, start_new_session=True, preexec_fn=listen_to_the_terminal,
    ) as make:  # fmt: skip
        assert make.stdout is not None
        assert make.stdout.readline() == "serving\n"
        os.kill(make.pid, signal.SIGINT)
        assert make.communicate(timeout=60)[0] == "told\n"
