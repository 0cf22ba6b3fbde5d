"""A real process that is killed while it appends: every record that it acknowledged is there afterwards."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persistence.file_journal import FileJournal

REPOSITORY = Path(__file__).parents[2]

APPEND_FOR_EVER = """
import os, sys, threading
from persistence.file_journal import FileJournal
from persistence.group_commit import GroupCommit

journal = FileJournal(sys.argv[1], 0, 0)
room = threading.Semaphore(100)
told = journal.durable_position

def acknowledge(position):
    global told
    os.write(1, b"%d\\n" % position)
    room.release(position - told)
    told = position

commit = GroupCommit(journal, acknowledge, lambda error: os._exit(3))
while True:
    room.acquire()
    position = journal.append(b"record %d " % journal.next_position + bytes(300))
    commit.notify()
    if position % 2000 == 0:
        commit.roll_soon()
"""


@pytest.mark.parametrize("seed", range(4))
def test_acknowledged_records_survive_kill_9(tmp_path, seed):
    acknowledged = 0
    for _ in range(2):  # the second process goes on where the first was killed
        command = [sys.executable, "-c", APPEND_FOR_EVER, str(tmp_path)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip().isdigit()
            time.sleep(random.Random(seed).uniform(0.05, 0.3))
            process.send_signal(signal.SIGKILL)
            lines = process.stdout.read().split(b"\n")
        acknowledged = max([acknowledged, *(int(line) for line in lines[:-1] if line)])
        journal = FileJournal(tmp_path, 0, 0)
        records = dict(journal.replay(0))
        journal._disk.close()  # no seal: the next process finds it as the kill left it
        assert list(records) == list(range(1, len(records) + 1))
        assert len(records) >= acknowledged > 0
        assert all(record == b"record %d " % position + bytes(300) for position, record in records.items())
