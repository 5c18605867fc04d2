"""The version of this release, for metadata answers and user agents."""

VERSION = "0.1.0"
