"""A SQLite database for every tenant, with a schema that evolves."""
