"""Renderers of clients' APIs beside the native one (`actors/core/render.py`): facts in, JSON out; see `shapes.py`."""
