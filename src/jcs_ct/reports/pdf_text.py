"""Text in any script for the PDF: fonts that cover it, the direction it runs in, and an honest gap where no font does.

The font that ships has Latin, Greek, Cyrillic, Hebrew and Arabic letters. Others come from Debian's packages
fonts-noto-core, fonts-droid-fallback and fonts-nanum where they are installed. Only the letters used go into the file.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import arabic_reshaper
from bidi.algorithm import get_display
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont

from jcs_ct.reports.key_slices import font_file

BASE = "JCS"
FONT_FOLDERS = tuple(Path("/usr/share/fonts/truetype", folder) for folder in ("noto", "droid", "nanum"))
NOT_SHOWN = "[not shown: no font for this script]"
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH", "KANGXI"})
_OTHER_FILES = {"CJK": "DroidSansFallbackFull.ttf", "HANGUL": "NanumGothic.ttf"}
_SIMPLE_FONTS = frozenset({BASE, f"{BASE}-Cjk", f"{BASE}-Hangul", f"{BASE}-Georgian", f"{BASE}-Armenian"})
_TAG = re.compile(r"(<[^>]*>)")
_RIGHT_TO_LEFT = frozenset({"R", "AL"})


def markup(text: str) -> str:
    """Text for a paragraph of reportlab's, which reads a kind of XML, with a font named for each run that needs one."""
    register_base()
    return "".join(_run(font, "".join(letters)) for font, letters in groupby(visual(text), _font_of))


def needs_shaping(marked_up: str) -> bool:
    """Whether letters of a paragraph stand above, below or within each other, and reportlab can place them.

    It places the letters of a word by the font of the first one, so no word may have several.
    """
    fonts, word, complex_letters = [BASE], set[str](), False
    for piece in _TAG.split(marked_up):
        if piece.startswith("<font"):
            fonts.append(piece.partition('name="')[2].rstrip('">') or fonts[-1])
        elif piece == "</font>":
            fonts.pop()
        elif not piece.startswith("<"):
            for character in piece:
                word = set() if character.isspace() else word | {fonts[-1]}
                if len(word) > 1:
                    return False
            complex_letters |= fonts[-1] not in _SIMPLE_FONTS
    return complex_letters


def visual(text: str) -> str:
    """Text in the order in which its letters stand on the line, with Arabic letters in the forms that join."""
    if not any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in text):
        return text
    return str(get_display(arabic_reshaper.reshape(text), base_dir="L"))


@cache
def register_base() -> None:
    """Have reportlab know the font that ships, in both weights."""
    pdfmetrics.registerFont(TTFont(BASE, font_file("regular")))
    pdfmetrics.registerFont(TTFont(f"{BASE}-Bold", font_file("bold")))
    pdfmetrics.registerFontFamily(BASE, normal=BASE, bold=f"{BASE}-Bold", italic=BASE, boldItalic=f"{BASE}-Bold")


def _run(font: str | None, letters: str) -> str:
    if font is None:
        return NOT_SHOWN
    return escape(letters) if font == BASE else f'<font name="{font}">{escape(letters)}</font>'


def _font_of(character: str) -> str | None:
    """Name of a font with this letter; None if there is none."""
    if _has(BASE, character) or character.isspace():
        return BASE
    words = unicodedata.name(character, "").split(" ", 1)
    script = "CJK" if words[0] in _EAST_ASIAN else words[0]
    font = _script_font(script, FONT_FOLDERS) if script else None
    return font if font is not None and _has(font, character) else None


def _has(font: str, character: str) -> bool:
    registered: Any = pdfmetrics.getFont(font)
    return ord(character) in registered.face.charToGlyph


@cache
def _script_font(script: str, folders: tuple[Path, ...]) -> str | None:
    """Registers the font of a script, if one is installed; its name."""
    file = _OTHER_FILES.get(script, f"NotoSans{script.title()}-Regular.ttf")
    path = next((folder / file for folder in folders if (folder / file).is_file()), None)
    if path is None:
        return None
    name = f"{BASE}-{script.title()}"
    try:
        font = TTFont(name, str(path))
        pdfmetrics.registerFont(font)
        font.hbFont()  # reportlab 5.1 makes ready for shaping only here, and forgets to call it
    except (TTFError, OSError):
        return None  # a font of a kind that cannot be embedded
    pdfmetrics.registerFontFamily(name, normal=name, bold=name, italic=name, boldItalic=name)
    return name
