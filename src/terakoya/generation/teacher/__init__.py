"""The teacher over HTTP: client, retries, rate limits, and the ledger of what was paid."""
