"""The report on one model: what it shows, what is wrong with it, and what to try."""

from zoo.show.diagnosis.advice import advise, summary
from zoo.show.diagnosis.case import Case, open_case
from zoo.show.diagnosis.evidence import Advice, Evidence
from zoo.show.diagnosis.report import page

__all__ = ["Advice", "Case", "Evidence", "advise", "open_case", "page", "summary"]
