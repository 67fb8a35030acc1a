"""Synthesis of small speech corpora in LibriSpeech's on-disk form."""
