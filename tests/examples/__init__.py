"""The examples and the documentation, run the way a reader would."""
