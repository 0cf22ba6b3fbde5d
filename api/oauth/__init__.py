"""Signing in for other people's clients (OAuth 2), and the pages on which people do."""
