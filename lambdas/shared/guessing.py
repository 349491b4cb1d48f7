"""Which encoding of before Unicode a text is in.

Each encoding that people used is tried, and what it makes of the text is judged: whether its letters are those of its
languages and stand as letters do. charset-normalizer decides between scripts of several bytes, and names the rare
ones; alone it takes a few words for any script there is.
"""

import codecs
import re
import unicodedata
from itertools import islice

from charset_normalizer import from_bytes

_WORDS = 500  # with odd letters; no more are looked at
_FEW = 7  # characters that may be of any script

_MARKS = set("\xa0«»„“”‘’–—…€°§©®™·•¿¡²³½µ£№ºª†")
_JOINTS = set("’–—·")  # stand between letters
_BESIDE = set("«»„“”‘…¿¡²³ºª°®™")  # stand at one
_WESTERN = ("äöüß", "éèêëàâçîïôùûüœæÿ", "áéíóúñü", "ãõçáâàéêíóôú", "åäöøæé", "ðþýáéíóúæö", "àèéìòù"), ""
_CENTRAL = ("ąćęłńóśźż", "áčďéěíňóřšťúůýžľĺŕôä", "áéíóöőúüű", "ăâîşţ", "čćđšž", "äöüß"), ""
_BALTIC = ("āčēģīķļņšūž", "ąčęėįšųūž", "õäöüšž"), ""
_CYRILLIC = ("оеаинтсрвлкмдпуяыь",), "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґўјљњћђџ"
_GREEK = ("αοιετσνηυρπκμλςάέήίόύώ",), "".join(map(chr, range(0x386, 0x3CF)))
_HEBREW = ("".join(map(chr, range(0x5D0, 0x5EB))),), ""
_ARABIC = ("اليمنرتبعدهوسفةى",), "".join(map(chr, range(0x60C, 0x653)))
_THAI = ("กขคงจชณดตถทนบปผพมยรลวสหอะาเแไใ่้็ิีืุูัำ์",), "".join(map(chr, range(0xE01, 0xE5C)))
_LINES = ("─│├└┌┐┘┤═║░▒▓█",), "┬┴┼╔╗╚╝╠╣╦╩╬▄▀■"
# The likelier first, with the letters of each language, or a script's: the common ones, and the others.
_SINGLE = {
    "cp1252": _WESTERN,
    "cp1250": _CENTRAL,
    "iso8859_2": _CENTRAL,
    "cp1251": _CYRILLIC,
    "koi8_r": _CYRILLIC,
    "cp1253": _GREEK,
    "iso8859_7": _GREEK,
    "cp1254": (("çğıöşüâî\u0130",), ""),
    "cp1255": _HEBREW,
    "iso8859_8": _HEBREW,
    "cp1256": _ARABIC,
    "iso8859_6": _ARABIC,
    "cp874": _THAI,
    "cp1257": _BALTIC,
    "iso8859_5": _CYRILLIC,
    "cp866": _CYRILLIC,
    "mac_roman": _WESTERN,
    "cp850": _WESTERN,
    "cp437": _LINES,
}
# The rows (first bytes) of what is common in each: punctuation, syllables, the first level of ideographs.
_WIDE = {
    "cp949": [range(0xA1, 0xA2), range(0xA3, 0xA4), range(0xB0, 0xC9)],
    "euc_jp": [range(0xA1, 0xA2), range(0xA3, 0xA6), range(0xB0, 0xD0)],
    "cp932": [range(0x81, 0x84), range(0x88, 0x99)],
    "gb18030": [range(0xA1, 0xA2), range(0xA3, 0xA4), range(0xB0, 0xD8)],
    "big5": [range(0xA1, 0xC7)],
}
_KANA = range(0x3041, 0x3100)


def guesses(sample: bytes) -> list[str]:
    """Encodings of a text that is neither ASCII nor Unicode, the likeliest first; the last reads nearly all."""
    shares = {encoding: _share(_decoded(sample, encoding), *letters) for encoding, letters in _SINGLE.items()}
    best = sorted(shares, key=lambda encoding: -shares[encoding])
    wide = [encoding for encoding in _WIDE if _is_of(encoding, _decoded(sample, encoding), shares[best[0]])]
    if wide:
        return [*_told_apart(sample, wide), "cp1252"]
    return [*(best if shares[best[0]] > 0.5 else _told_apart(sample, [])), "cp1252"]


def _told_apart(sample: bytes, encodings: list[str]) -> list[str]:
    """With charset-normalizer's choice first; of all that it knows where there are none."""
    if len(encodings) == 1:
        return encodings
    unicode = ["utf_7", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"]
    best = from_bytes(sample, cp_isolation=encodings or None, cp_exclusion=unicode).best()
    return [*([best.encoding] if best else []), *encodings]


def _decoded(sample: bytes, encoding: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)  # it may end within a character
    except UnicodeDecodeError:
        return None


def _is_of(encoding: str, text: str | None, share: float) -> bool:
    """Nearly all that is not ASCII is common in this encoding and stands together; what is Japanese has kana.

    A few without kana are not enough where another encoding reads more than this share of them as letters.
    """
    odd = re.findall(r"[^\x00-\x7f]+", text or "")[:_WORDS]
    characters = "".join(odd)
    if len(characters) < 2 * len(odd) or not characters:
        return False
    leads = [character.encode(encoding)[0] for character in characters]
    common = sum(any(lead in row for row in _WIDE[encoding]) for lead in leads)
    japanese = sum(ord(character) in _KANA for character in characters) * 10 >= len(characters)
    if common < 0.9 * len(characters) or japanese != (encoding in ("euc_jp", "cp932")):
        return False
    return japanese or share <= 0.9 or len(characters) >= _FEW


def _share(text: str | None, languages: tuple[str, ...], others: str) -> float:
    """How much of what is not ASCII is as in one of these languages: 0 to 1."""
    if text is None:
        return 0
    words = [match[0] for match in islice(re.finditer(r"\S*[^\x00-\x7f\s]\S*", text), _WORDS)]
    places = [
        (before, one, after)
        for word in words
        for before, one, after in zip(" " + word[:-1], word, word[1:] + " ", strict=True)
        if not one.isascii()
    ]
    known = set("".join(languages) + others)
    sums = [sum(_fit(*place, set(letters), known) for place in places) for letters in languages]
    return round(max(sums) / max(1, len(places)), 3)


def _fit(before: str, one: str, after: str, letters: set[str], known: set[str]) -> float:
    """How well a character stands between these two in a language of these letters, 0 to 1."""
    if one in _MARKS:
        between = before.isalpha() + after.isalpha()
        return 1 if one in _JOINTS or not between else 0 if between == 2 else 1 if one in _BESIDE else 0.5
    if unicodedata.combining(one) and not before.strip():
        return 0
    small = one if one in known else one.lower()
    if small not in known or (one.isupper() and before.islower()):
        return 0
    beside = [other.isascii() for other in (before, after) if other.isalpha()]
    latin = one < "\u0250"
    if beside and latin != any(beside):  # Latin letters have plain ones beside them, others have none
        return 0.5 if latin else 0
    return (1 if small in letters else 0.7) * (0.9 if not latin and one.isupper() and before.isupper() else 1)
