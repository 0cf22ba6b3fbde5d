"""Tests of the HTTP API, over real HTTP. `conftest.py` says how to point them at another cluster."""
