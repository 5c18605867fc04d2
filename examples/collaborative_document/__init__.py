"""A text that several people edit at the same time, live."""
