"""What a file is, by its first bytes."""

SIGNATURE_BYTES = 4096

_NONE: frozenset[str] = frozenset()
_FIXED = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"OggS": "ogg",
    b"ID3": "mp3",
    b"FLV\x01": "flv",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c": "wmv",
    b"\x00\x00\x01\xba": "mpeg",  # a program stream
    b"\x00\x00\x01\xb3": "mpeg",  # pictures alone
}
_RIFF = {b"WEBP": "webp", b"WAVE": "wav"}
_MATROSKA = {b"matroska": "mkv", b"webm": "webm"}
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def formats_of(head: bytes) -> frozenset[str]:
    """The formats, in Nova's names, that the first `SIGNATURE_BYTES` show; none for what Nova does not read.

    MPEG has two names, and an MP4, QuickTime or 3GP file may say that it is several of them.
    """
    found = next((name for signature, name in _FIXED.items() if head.startswith(signature)), None)
    if found:
        return frozenset({found, "mpg"}) if found == "mpeg" else frozenset({found})
    if head.startswith((b"RIFF", b"RF64")):
        return _one(_RIFF.get(head[8:12]))
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _one(_MATROSKA.get(_doc_type(head)))
    if head[4:8] == b"ftyp":
        return _brands(head)
    if head[4:8] in _OLD_QUICKTIME:
        return frozenset({"mov"})
    return frozenset({"mp3"}) if _is_mp3_frame(head) else _NONE


def _one(name: str | None) -> frozenset[str]:
    return frozenset({name}) if name else _NONE


def _doc_type(head: bytes) -> bytes:
    """The element of Matroska's header that tells WebM apart (RFC 8794, "DocType"); its size is one byte."""
    _, found, rest = head[:256].partition(b"\x42\x82")
    return rest[1 : 1 + (rest[0] & 0x7F)].rstrip(b"\0") if found and rest else b""


def _brands(head: bytes) -> frozenset[str]:
    """The major brand and the compatible ones (ISO/IEC 14496-12, "File Type Box")."""
    box = head[8 : max(16, int.from_bytes(head[:4]))]
    brands = [box[:4], *(box[at : at + 4] for at in range(8, len(box) - 3, 4))]
    return frozenset(_brand(brand) for brand in brands if brand.strip(b"\0 "))


def _brand(brand: bytes) -> str:
    if brand == b"qt  ":
        return "mov"
    return "3gp" if brand.startswith((b"3gp", b"3g2", b"3ge", b"3gg", b"3gs", b"3gr")) else "mp4"


def _is_mp3_frame(head: bytes) -> bool:
    """Sync bits, a known MPEG version and layer III (layer 0 would be AAC in ADTS)."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08
