"""Pictures as SVG text: a canvas, scales and numbers; nothing here knows what is drawn."""
