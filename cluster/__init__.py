"""Finding a shard and talking to it: see DESIGN.md."""

import actors  # noqa: F401  the old paths of modules that have moved work from here on
