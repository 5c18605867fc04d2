"""One actor: its lifecycle, state, connections and events. Decisions live here, sockets and files do not."""
