"""What a file is, by its first bytes."""

SIGNATURE_BYTES = 16


def format_of(head: bytes) -> str | None:
    """The format, in Nova's names, that the first `SIGNATURE_BYTES` show; None for anything Nova does not read."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith((b"RIFF", b"RF64")):
        return {b"WEBP": "webp", b"WAVE": "wav"}.get(head[8:12])
    return "mp3" if head.startswith(b"ID3") or _is_mp3_frame(head) else None


def _is_mp3_frame(head: bytes) -> bool:
    """Sync bits, a known MPEG version and layer III (layer 0 would be AAC in ADTS)."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08
