"""Teachers: the HTTP client with retries and rate limits, the ledger of paid requests, and the offline teachers."""
