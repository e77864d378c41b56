"""The lab: what generative models make of data that a designer made for them.

`zoo.judge.lab.experiments` says what is trained on, `reading` reads features off what was drawn,
`findings` says what became of those that were put in. The command is `python -m zoo.probe`.
"""
