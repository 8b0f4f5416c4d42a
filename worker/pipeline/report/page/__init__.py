"""The report as a self-contained HTML page: `render_page`."""

from worker.pipeline.report.page.page import render_page

__all__ = ["render_page"]
