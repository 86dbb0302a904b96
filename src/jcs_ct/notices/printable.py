"""Text of others (names of files, words of headers) as one printable line, whatever it holds."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""`text` with everything escaped that a terminal would obey, or that cannot be encoded as UTF-8.

    Bytes of file names that are no UTF-8, which Python keeps as surrogates, come out as `\xe9`.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
