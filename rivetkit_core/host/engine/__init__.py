"""The host that runs actors on a Rivet Engine."""
