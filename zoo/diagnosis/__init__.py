"""Floor 7: the report on one model: what it shows, what is wrong with it, and what to try."""

from zoo.diagnosis.advice import advise, summary
from zoo.diagnosis.case import Case, open_case
from zoo.diagnosis.evidence import Advice, Evidence
from zoo.diagnosis.report import page

__all__ = ["Advice", "Case", "Evidence", "advise", "open_case", "page", "summary"]
