"""Orders in a durable queue: replies, retries, dead letters, no duplicates."""
