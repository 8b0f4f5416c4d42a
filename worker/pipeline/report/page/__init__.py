"""The report as a page that can be sent to a colleague: `render_page`."""

from worker.pipeline.report.page.page import render_page

__all__ = ["render_page"]
