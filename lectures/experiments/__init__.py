"""The experiments behind the claims of the lectures, and their ledger."""
