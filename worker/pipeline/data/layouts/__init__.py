"""Archives whose images have masks, texts or boxes beside them instead of class folders.

`finding` recognises a layout by names, one module per layout interprets its files, and `reading`
decodes images and writes their labels. Nothing here knows networks.
"""
