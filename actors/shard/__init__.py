"""The shell of a shard replica, in parts: `actors/shard_actor.py` puts them together."""
