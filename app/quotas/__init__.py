"""Quotas: limits per tenant, so that no tenant starves the others."""
