"""The media actor."""
