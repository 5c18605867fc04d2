"""The Rivet Engine as a host: this process is an envoy that runs actors the engine places on it."""
