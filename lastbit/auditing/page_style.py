"""How the page of an audit looks: by day, by night, on a telephone and on paper."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2026; --faint: #5d6672; --line: #d5dae1;
  --shade: #f3f5f8; --hot: #e07b39; --good: #1d7a46; --warn: #9a5a00; --bar: #3a6ea5; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181d; --ink: #e4e8ee; --faint: #9aa4b1; --line: #343b45;
    --shade: #1e2229; --hot: #c2602a; --good: #57c98a; --warn: #e5a94b; --bar: #78a9dc; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem; }
p { margin: .25rem 0 .75rem; max-width: 48rem; }
.faint { color: var(--faint); font-size: .9rem; }
.outcome { font-size: 1.15rem; font-weight: 600; margin: 1rem 0; }
.agree { color: var(--good); } .apart, .live { color: var(--warn); font-weight: 600; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: normal; }
th { font-weight: 600; } thead th { color: var(--faint); font-weight: 500; }
td:has(> .said) { min-width: 11rem; }
.matrix th, .matrix td { text-align: right; padding: .35rem .5rem; border: 2px solid var(--paper); }
.matrix td { min-width: 4rem; background: color-mix(in srgb, var(--hot) calc(var(--heat) * 70%), var(--shade)); }
.matrix td.share { background: color-mix(in srgb, var(--bar) calc(var(--heat) * 45%), var(--shade)); }
.matrix td.self { background: none; }
.matrix tbody th { text-align: left; white-space: nowrap; }
.matrix.dense td { min-width: 2.3rem; }
.matrix.dense :is(th, td) { padding: .2rem .25rem; font-size: .74rem; white-space: nowrap; }
svg { display: block; min-width: 36rem; max-width: 52rem; width: 100%; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } svg text.faint { font-size: 12px; fill: var(--faint); }
svg rect { fill: var(--bar); } svg line { stroke: var(--line); }
td code { white-space: nowrap; }
ul { padding-left: 1.2rem; }
code, pre { font: .875rem/1.45 ui-monospace, monospace; }
pre { background: var(--shade); padding: .75rem; white-space: pre-wrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; font-size: .9rem; margin: 0; }
dt { color: var(--faint); } dd { margin: 0; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
@media print { body { font-size: 9.5pt; max-width: none; padding: 0; } .wide { overflow: visible; }
  tr { break-inside: avoid; } h2 { break-after: avoid; } .matrix td { print-color-adjust: exact; } }
"""
