"""Whole programs in a real browser."""
