"""`python -m bench SCENARIO`; the same commands as `run_cluster.py bench`."""

from bench.cli import app

app(prog_name="python -m bench")
