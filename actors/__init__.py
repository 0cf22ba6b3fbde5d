"""Actors, and their core. Importing any part of it makes the old paths of modules that have moved work."""

from actors import moved

moved.install()
