"""The sample report in the documents is up to date and small."""

from docs import generate_sample_report


def test_the_sample_report_is_up_to_date_and_small() -> None:
    text = generate_sample_report.TARGET.read_text(encoding="utf-8")
    assert text == generate_sample_report.render(), "run python -m docs.generate_sample_report"
    assert len(text.encode()) < 300_000
    assert "Saliency curves" in text
