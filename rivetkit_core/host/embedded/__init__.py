"""An engine in this process: SQLite store, placement by name and key, HTTP and websocket gateway."""
