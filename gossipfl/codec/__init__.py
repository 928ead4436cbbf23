"""Codecs: vectors to bytes and back, one algorithm per file."""
