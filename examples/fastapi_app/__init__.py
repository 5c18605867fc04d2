"""Actors inside an existing FastAPI application."""
