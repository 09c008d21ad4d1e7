"""Which characters a text field may hold.

Signed text is shown to people, exported and compared. Control characters and bidirectional overrides make text read
otherwise than it is stored (Unicode TR 36, section 3; CVE-2021-42574), so they are refused rather than cleaned: the
bytes are the agency's and nobody else may change them.
"""

from __future__ import annotations

import re
from typing import Final

_OVERRIDES: Final = "\u202a-\u202e\u2066-\u2069"
_NO_CHARACTERS: Final = "\ud800-\udfff\ufdd0-\ufdef" + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
_REFUSED_IN_TEXT: Final = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_OVERRIDES}{_NO_CHARACTERS}]")
_REFUSED_IN_NARRATIVE: Final = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_OVERRIDES}{_NO_CHARACTERS}]")

TEXT_EXPECTED: Final = "one line without control characters, bidirectional overrides or noncharacters"
NARRATIVE_EXPECTED: Final = "no control characters but line feed and tab, no bidirectional overrides or noncharacters"


def is_clean_text(text: str) -> bool:
    """Tell whether a one-line text holds nothing but characters that show."""
    # Printable text (Python's sense) holds none of the refused characters: the cheap answer for nearly all.
    return text.isprintable() or _REFUSED_IN_TEXT.search(text) is None


def is_clean_narrative(text: str) -> bool:
    """Tell whether a narrative holds nothing but characters that show, line feeds and tabs."""
    return text.replace("\n", " ").isprintable() or _REFUSED_IN_NARRATIVE.search(text) is None
