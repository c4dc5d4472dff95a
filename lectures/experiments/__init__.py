"""The experiments behind the lectures' claims, in a module for each lecture; `claims` is the ledger, `tools` is shared.

They import minidiff and read tests/bench. The notebooks and lectures/claims.py import them; nothing in minidiff does.
"""
