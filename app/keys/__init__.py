"""Bearer keys: authentication, scopes and tenants."""
