"""Text in every encoding that people have, much of it and little."""

import pytest

from lambdas.shared.decoding import decode
from lambdas.shared.errors import PermanentError

# language, encodings, a short text, a long one
SAMPLES: list[tuple[str, str, str, str]] = [
    ("Spanish", "cp1252 latin-1", "mañana", "El niño pequeño soñaba con una montaña de azúcar. ¿Qué más? "),
    ("Spanish", "mac_roman", "", "El niño pequeño soñaba con una montaña de azúcar. ¿Qué más? "),
    (
        "German",
        "cp1252 latin-1",
        "Käse",
        "Der Bär läuft über die große Brücke, während es regnet. ",
    ),
    ("German", "cp1252 latin-1 cp850", "Grüße", "Größere Mühen und süße Äpfel: schöne Grüße aus Österreich. "),
    (
        "French",
        "cp1252 latin-1 cp850",
        "café naïve",
        "L'été dernier, où étiez-vous ? À la forêt, près du château. ",
    ),
    (
        "French",
        "cp1252",
        "l’œuvre « déjà » coûte 5 €",
        "L’œuvre d’art coûte 50 €… c’est « très » cher. ",
    ),
    ("Portuguese", "cp1252 latin-1", "São João", "As ações não são más; três irmãos põem pão à mesa. "),
    ("Swedish", "cp1252 latin-1", "Smörgås", "Åsa köper smörgås på torget; älgen står vid sjön. "),
    ("Finnish", "cp1252 latin-1", "hyvää yötä", "Hyvää päivää! Pöydällä on päärynöitä ja äidin lähettämä kirje. "),
    ("Icelandic", "cp1252 latin-1", "Reykjavík", "Það er gott að búa á Íslandi, þótt veðrið sé oft slæmt í júní. "),
    (
        "Polish",
        "cp1250 iso8859_2",
        "Zażółć gęślą jaźń",
        "Mała łódź płynie po rzece, a święto się zaczyna. ",
    ),
    ("Czech", "cp1250 iso8859_2", "Příliš žluťoučký kůň", "Příliš žluťoučký kůň úpěl ďábelské ódy. Šťastný večer. "),
    ("Hungarian", "cp1250 iso8859_2", "", "Az erdő szélén egy őz és két gyűrűs nyúl ült; később esőfelhők jöttek. "),
    ("Russian", "cp1251 koi8_r iso8859_5 cp866", "Привет, мир", "Съешь же ещё этих мягких французских булок. Да? "),
    ("Russian", "cp1251 koi8_r", "тест", "тихая река течёт вдоль леса, и никто не знает, куда "),
    ("Ukrainian", "cp1251", "Слава Україні", "Щодня її їжак ґречно жує яблука, і ніхто не чує. "),
    ("Greek", "cp1253 iso8859_7", "Καλημέρα κόσμε", "Η γρήγορη αλεπού πηδάει πάνω από τον τεμπέλη σκύλο. "),
    (
        "Turkish",
        "cp1254 iso8859_9",
        "ağaçlar koşuyor",
        "Şişli'de yağmur yağıyor; çocuklar sığınağa koşuyor. ",
    ),
    ("Hebrew", "cp1255 iso8859_8", "שלום עולם", "הילד הלך אל הים וחזר עם צדפה גדולה בידו. "),
    ("Arabic", "cp1256 iso8859_6", "مرحبا بالعالم", "ذهب الولد الى البحر وعاد ومعه صدفة كبيرة في يده. "),
    ("Thai", "cp874", "สวัสดีชาวโลก", "เด็กชายเดินไปที่ทะเลและกลับมาพร้อมกับเปลือกหอยใหญ่ "),
    (
        "Japanese",
        "euc_jp cp932 iso2022_jp",
        "日本語のテキスト",
        "吾輩は猫である。名前はまだ無い。",
    ),
    (
        "Japanese",
        "euc_jp cp932 iso2022_jp",
        "こんにちは",
        "メロスは激怒した。必ず、邪智暴虐の王を除かなければならぬ。\n",
    ),
    ("Japanese", "cp932", "カタカナ", ""),
    ("Chinese", "gb2312 gb18030", "我们在这里写中文", "从前有一个孩子，他走到海边，带着一个大贝壳回来了。\n"),
    ("Chinese", "big5", "我們在這裡寫中文", "從前有一個孩子，他走到海邊，帶著一個大貝殼回來了。\n"),
    ("Korean", "euc_kr cp949", "한국어 텍스트입니다", "옛날에 한 아이가 바다에 가서 큰 조개를 가지고 돌아왔습니다. "),
    ("English", "cp1252 mac_roman", "", "He said “no”, and then – after a while – “why not?” It’s 20 °C. "),
    ("French", "cp1252", "ÉTÉ", ""),
    ("Polish", "iso8859_2", "Łódź", ""),
    ("Russian", "cp1251", "ПРИВЕТ ВСЕМ", ""),
    ("a table", "cp1252", "1234;Müller;30,5\n1235;Schäfer;1\n", ""),
    ("a tree", "cp437", "├── src\n└── tests", "├── src\n│   ├── one\n│   └── two\n└── tests\n"),
]
CASES = [
    pytest.param(text, encoding, id=f"{language}-{encoding}-{len(text)}")
    for language, encodings, short, long in SAMPLES
    for encoding in encodings.split()
    for text in (short, long, long * 10)
    if text
]


@pytest.mark.parametrize(("text", "encoding"), CASES)
def test_a_text_reads_as_it_was_written_whatever_its_encoding(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["Käse", "Привет, мир", "吾輩は猫である。\n名前はまだ無い。\n" * 10, "a\n"])
def test_what_zeros_tell_is_utf_16_or_32(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        ("łódź".encode("iso8859_2"), "ISO-8859-2", "łódź"),
        ("ćma".encode("cp1250"), "windows-1250", "ćma"),
        ("größer".encode(), "iso-8859-2", "größer"),
        ("„größer“".encode("cp1252"), "iso-8859-1", "„größer“"),
        ("größer".encode("cp1252"), "utf-8", "größer"),
        ("größer".encode("utf-8-sig"), "cp1252", "größer"),
        (b"Gr\xfc\xdfe", "none such", "Grüße"),
        (b"Gr\xfc\xdfe \\x41", "unicode_escape", "Grüße \\x41"),
        (b"aGFsbG8=", "base64", "aGFsbG8="),
        ("漢字".encode("gb18030"), "gb2312", "漢字"),
    ],
)
def test_a_declared_encoding_counts_where_the_content_is_in_it(content: bytes, charset: str, text: str) -> None:
    assert decode(content, charset) == text


def test_a_page_and_an_xml_file_declare_their_own_encoding() -> None:
    for start in ('<meta charset="iso-8859-2">', '<?xml version="1.0" encoding="iso-8859-2"?>'):
        assert decode(f"{start}żółć".encode("iso8859_2")) == f"{start}żółć"


@pytest.mark.parametrize("content", [bytes(range(1, 256)) * 20, b"\0\x01\x02\x03" * 50, b"a\0\0\xff\x01b" * 20])
def test_what_is_in_no_encoding_is_no_text(content: bytes) -> None:
    with pytest.raises(PermanentError):
        decode(content)
