"""Our server under the stock TypeScript client."""
