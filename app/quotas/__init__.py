"""Quotas: what one tenant may have and do, so that the others have theirs."""
