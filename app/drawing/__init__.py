"""Pictures as SVG text: canvas, scales and number formats, without any subject matter."""
