"""A chat room: validated state, connection parameters, events, and a page that talks to it."""
