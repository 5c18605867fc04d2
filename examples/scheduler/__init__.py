"""Reminders: once, or every day at a time of somebody's own time zone."""
