"""A PyTorch library that prunes exported networks. It knows nothing of the service around it."""
