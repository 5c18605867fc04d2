"""The Rivet Engine as the place actors run in: this process is one envoy of a pool."""
