"""The HTTP side of Rookery: FastAPI routes that check requests and pass them on to the shards; see DESIGN.md."""
