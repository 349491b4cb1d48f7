"""The searches that `make run` shows, and the file that each should put first."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A query over one modality (None: over everything).

    The best segment must lie within the seconds of `within`, or be on the `page`, where they are given.
    """

    text: str
    modality: str | None
    expected: str
    within: tuple[float, float] | None = None
    page: int | None = None


EXAMPLES = (
    Example("how often should I water tomatoes?", "text", "tomatoes.txt"),
    Example("a ship in distress in the storm, the lifeboat brought the crew home", "text", "lighthouse-log.txt"),
    Example("receta de pan con harina y masa madre", "text", "pan-de-masa-madre.txt"),
    Example("loud high-pitched alarm", "audio", "alarm.mp3"),
    Example("the customer wants a refund for the coffee machine", "audio", "support-call.mp3"),
    Example("steady rain, soft noise", "audio", "rain.ogg"),
    Example("a red and orange sunset", "image", "sunset.jpg"),
    Example("green trees in the forest", "image", "forest.png"),
    Example("black and white checkered board, high contrast", "image", "chessboard.png"),
    Example("volcano lecture, somebody speaking about magma", "audio", "evening.mp3", within=(0, 105)),
    Example("a deep low-pitched hum", "audio", "evening.mp3", within=(170, 270)),
    Example("a fast steady drum beat", "audio", "evening.mp3", within=(75, 200)),
    Example("a dark night sky", None, "night.webp"),
    Example("a melody played on a guitar", None, "guitar.ogg"),
    Example("deep blue water", "video", "three-scenes.mp4", within=(40, 61)),
    Example("a bright yellow field", "video", "three-scenes.mp4", within=(15, 45)),
    Example("a chart with purple and orange bars", "document", "harvest-scan.pdf", page=2),
    Example("a green lawn beside blue water", "document", "lease.pdf", page=2),
    Example("how to oil the chain of a rusty bicycle", None, "bicycle-workshop.pptx"),
)
