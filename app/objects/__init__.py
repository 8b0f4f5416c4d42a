"""Objects: immutable bytes in a folder or a bucket, and the removal of unreferenced ones."""
