"""The laptop's stand-in for Amazon Nova Multimodal Embeddings: words, sounds, pictures and films in one space.

It measures what signal analysis can (loud, high, noisy, rhythmic, red, dark, striped, …) and knows the words for it. It
hears no words and knows no faces: what is said in a sound it takes from the file's timed text. The same content has the
same vector on every machine and in every process. It never sees a key, a file name or a title.
"""

from local.standin.audio import Segment, embed_audio
from local.standin.film import Film, FilmSegment
from local.standin.image import embed_image
from local.standin.sound import UnreadableError
from local.standin.sound import sound_length as audio_length
from local.standin.space import DIMENSION, Vector, shorten
from local.standin.text import embed_text

__all__ = [
    "DIMENSION",
    "Film",
    "FilmSegment",
    "Segment",
    "UnreadableError",
    "Vector",
    "audio_length",
    "embed_audio",
    "embed_image",
    "embed_text",
    "shorten",
]
