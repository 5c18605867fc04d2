"""Client traffic that the engine carries to and from the actors here (envoy-protocol 6)."""
