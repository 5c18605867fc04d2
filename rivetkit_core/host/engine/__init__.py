"""Actors hosted by the Rivet Engine: this process is one of its envoys (envoy-protocol)."""
