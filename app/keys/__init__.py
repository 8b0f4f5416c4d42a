"""Bearer keys: who is asking, and whose things they see."""
