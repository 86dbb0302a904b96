"""One generated page of all tables and figures, as HTML and as Markdown."""

from __future__ import annotations

from pathlib import Path

from experiments.reproduction.parts import Figure, Table
from jinja2 import Environment

INTRO = (
    "The paper's images are not public, so its figures cannot be checked directly. This page checks whether each part "
    "helps and how the systems compare, on public data and under one protocol. Made by "
    "`python experiments/reproduce.py all {options} --data DIR --imagenet FILE`."
)
HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Reproduction of the JCS paper</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
 table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0 }
 th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
 th { vertical-align: bottom; white-space: normal } th:first-child, td:first-child { text-align: left }
 .wide { overflow-x: auto } .small { color: #555; font-size: 13px } img { max-width: 100% }
</style></head><body>
<h1>Reproduction of the JCS paper</h1><p>{{ intro }}</p>
{% for table in tables %}<h2>{{ table.title }}</h2><div class="wide"><table>
<tr>{% for cell in table.head %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>{% if table.remark %}<p>{{ table.remark }}</p>{% endif %}
<p class="small">{{ table.protocol }}</p>
{% endfor %}{% for figure in figures %}<h2>{{ figure.title }}</h2>
<img src="{{ figure.file }}" alt="{{ figure.title }}"><p class="small">{{ figure.caption }}</p>
{% endfor %}</body></html>
"""


def write_page(tables: list[Table], figures: list[Figure], folder: Path, options: str) -> list[Path]:
    """Write `index.html` and `README.md` beside the figures' pictures.

    Returns:
        Both files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    intro = INTRO.format(options=options)
    html = Environment(autoescape=True).from_string(HTML).render(intro=intro, tables=tables, figures=figures)
    markdown = ["# Reproduction of the JCS paper", "", intro, ""]
    for table in tables:
        markdown += [f"## {table.title}", "", _row(table.head), _row(["---"] * len(table.head))]
        markdown += [_row(row) for row in table.rows]
        markdown += ["", *([table.remark, ""] if table.remark else []), table.protocol, ""]
    for figure in figures:
        markdown += [f"## {figure.title}", "", f"![{figure.title}]({figure.file})", "", figure.caption, ""]
    written = []
    for name, text in (("index.html", html), ("README.md", "\n".join(markdown))):
        partial = folder / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(folder / name)
        written.append(folder / name)
    return written


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"
