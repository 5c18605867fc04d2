"""The envoy protocol, versions 8 and 6: hosting actors on the Rivet Engine (envoy-protocol 3, 4)."""
