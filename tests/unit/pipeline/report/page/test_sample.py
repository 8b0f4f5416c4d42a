"""The sample in the documents is what this version makes, and no larger than it may be."""

from docs import generate_sample_report


def test_the_sample_report_is_up_to_date_and_small() -> None:
    text = generate_sample_report.TARGET.read_text(encoding="utf-8")
    assert text == generate_sample_report.render(), "run python -m docs.generate_sample_report"
    assert len(text.encode()) < 300_000
    assert "Saliency curves" in text
