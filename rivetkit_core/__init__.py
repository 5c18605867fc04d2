"""The untyped core of rivetkit: names and bytes in, names and bytes out.

It owns lifecycle, dispatch, persistence and protocols of actors and knows nothing of pydantic or of
user classes. Applications import ``rivetkit``; hosts and adapters import from the modules here.
"""
