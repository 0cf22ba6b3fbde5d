"""`python -m actors.search`: the search engine's process; only a shard starts it (see engine.py)."""

from actors.search.engine import main

main()
