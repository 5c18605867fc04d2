"""Runnable programs. Each is type-checked and tested; each folder is one idea."""
