"""What the gallery's pages look like, beyond what all pages of the zoo share."""

from __future__ import annotations

__all__ = ["INDEX", "PAGE"]

COMMON = """
a { color: var(--bar); text-underline-offset: .15em; }
h1 { letter-spacing: -.01em; }
.soft { color: var(--soft); }
.met { color: var(--good); }
"""

INDEX = (
    COMMON
    + """
body { max-width: 78rem; padding-top: 3rem; }
header { margin-bottom: 2.4rem; }
h1 { font-size: 2.3rem; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin-top: 1rem; }
.family { display: grid; grid-template-columns: 16rem 1fr; gap: 1rem 2rem; padding: 1.8rem 0;
  border-top: 1px solid var(--line); }
.family h2 { border: 0; margin: 0 0 .3rem; padding: 0; }
.family p { margin: 0; font-size: .92rem; line-height: 1.45; }
.cards { display: grid; gap: 1.4rem 1.2rem;
  grid-template-columns: repeat(auto-fill, minmax(12.2rem, 1fr)); }
.card { display: block; max-width: 15.6rem; color: inherit; text-decoration: none; }
.card img { display: block; width: 100%; height: auto; border-radius: 8px; }
.card h3 { margin: .55rem 0 0; font-size: 1rem; overflow-wrap: anywhere; }
.card:hover h3, .card:focus-visible h3 { text-decoration: underline; }
.card .figure { display: block; margin-top: .15rem; font-variant-numeric: tabular-nums; }
.card .figure b { font-weight: 600; white-space: nowrap; margin-right: .4rem; }
.card span { display: block; font-size: .88rem; line-height: 1.4; }
.card .figure .paper { display: inline-block; white-space: nowrap; }
.card code { display: block; font-size: .72rem; line-height: 1.35; white-space: normal;
  overflow-wrap: anywhere; margin-top: .1rem; }
@media (max-width: 46rem) {
  body { padding-top: 1.6rem; }
  h1 { font-size: 1.9rem; }
  .family { grid-template-columns: 1fr; padding: 1.4rem 0; }
  .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.2rem .9rem; }
}
"""
)

PAGE = (
    COMMON
    + """
body { padding-top: 1.6rem; }
nav { margin-bottom: 1.4rem; font-size: .95rem; }
.headline { display: flex; flex-wrap: wrap; gap: .8rem 2rem; margin: 1.2rem 0 1.4rem; }
.headline div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.headline dt { font-size: .85rem; max-width: 18rem; overflow-wrap: anywhere; }
.headline dd { font-size: 1.2rem; font-weight: 600; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
dl.headline { grid-template-columns: none; }
.first { display: grid; gap: 1.6rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }
.first img { width: 100%; }
.first pre:first-child { margin-top: 0; }
pre { margin: .6rem 0; padding: .8rem 1rem; background: var(--tint); border-radius: 6px;
  overflow-x: auto; font: .88rem/1.5 ui-monospace, monospace; }
pre code { font: inherit; white-space: pre; }
.copy { user-select: all; -webkit-user-select: all; cursor: copy; padding: .6rem .9rem;
  font-size: .82rem; }
.copy code { white-space: pre-wrap; overflow-wrap: anywhere; }
.notes li { margin: .35rem 0; max-width: 44rem; }
.notes { padding-left: 1.2rem; }
details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--bar); }
"""
)
