"""The styles and texts of the render fixtures."""

import random
import re

EN = {
    "page-size": "595,842", "dpi": 72, "margin-x": 10, "margin-y": 10,
    "font-path": "DejaVuSans.ttf", "font-size": 9, "line-height": 10, "font-color": "#000000",
    "alignment": "LEFT", "horizontal-scale": 1.0, "first-line-indent": 0, "left-indent": 0,
    "right-indent": 0, "space-after": 0, "space-before": 0, "border-width": 0,
    "border-padding": 0, "page-bg-color": "#FFFFFF", "para-bg-color": "#FFFFFF",
    "auto-crop-width": True, "auto-crop-last-page": True,
}
ZH = EN | {"font-path": "NotoSansMonoCJKsc-Subset.ttf"}
MONO = EN | {"font-path": "DejaVuSansMono.ttf"}
MINI = {
    "page-size": "280,224", "margin-x": -6, "margin-y": -6, "font-path": "DejaVuSansMono.ttf",
    "font-size": 11.626, "line-height": 28, "alignment": "LEFT",
    "auto-crop-width": False, "auto-crop-last-page": False,
}
RED_MARKER = '<font color="#FF0000"> \\n </font>'

WORDS = (
    "the a of to and in harbour lantern river quiet engine paper morning seven window copper letter "
    "under above slowly carried measured because without engineer AT&T x<y said, answered. \"Why?\" "
    "(perhaps) half-finished 1,024 3.14159 naïve Zürich façade garden station winter orchard map"
).split()
HANZI = (
    "春天的早晨河水很安静工程师把灯放在窗台上他说我们应该先测量距离再决定怎么走城市里的人还没有起床"
    "图书馆前面有一棵老树树下坐着读书的孩子数据模型页面文字渲染字体空格标点换行句子段落"
)


def prose(seed, sentences, sentences_per_line=(1, 7)):
    """Sentences of made-up English, some lines long, some empty."""
    pick = random.Random(seed)
    lines, line = [], []
    wanted = pick.randint(*sentences_per_line)
    for _ in range(sentences):
        words = [pick.choice(WORDS) for _ in range(pick.randint(4, 18))]
        line.append(" ".join(words).capitalize() + pick.choice([".", ".", "?", "!", ";"]))
        if len(line) >= wanted:
            lines.append(" ".join(line))
            line, wanted = [], pick.randint(*sentences_per_line)
            if pick.random() < 0.2:
                lines.append("")
    return "\n".join(lines + [" ".join(line)])


def chinese(seed, sentences, latin=0.0):
    """Sentences of made-up Chinese, with Latin words where `latin` is above 0."""
    pick = random.Random(seed)
    lines, line = [], ""
    for _ in range(sentences):
        for _ in range(pick.randint(5, 30)):
            if pick.random() < latin:
                line += pick.choice(["", " "]) + pick.choice(WORDS) + pick.choice(["", " "])
            else:
                line += pick.choice(HANZI)
        line += pick.choice("。。，！？；：」）…")
        if pick.random() < 0.08:
            line += pick.choice(["「", "（", "“", "——"])
        if pick.random() < 0.35:
            lines.append(line)
            line = pick.choice(["", "", "　　", "  "])
    return "\n".join(lines + [line])


def code(seed, lines):
    """Indented code with operators that are markup elsewhere."""
    pick = random.Random(seed)
    out, depth = [], 0
    for number in range(lines):
        statement = pick.choice([
            f"let value_{number} = compute(&input[{number}..], limit << 2)?;",
            f"if a < {number} && b > c {{",
            "}",
            f"// step {number}:  two  spaces   three,\ttab",
            "return Err(Error::Missing { key: \"a&b\", line: 7 });",
            "",
            f"println!(\"{{:>{number % 9 + 1}}}  {{}}\", name, \"x\".repeat({number}));",
            "\tfor (index, item) in items.iter().enumerate() {",
        ])
        depth = max(0, depth - statement.startswith("}"))
        out.append("    " * depth + statement)
        depth = min(6, depth + statement.endswith("{"))
    return "\n".join(out)


def long_words(seed):
    pick = random.Random(seed)
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789/-_.=&?%"
    parts = []
    for number in range(60):
        length = pick.choice([3, 8, 40, 130, 400, 900])
        parts.append("".join(pick.choice(alphabet) for _ in range(length)))
        parts.append(pick.choice([" ", " ", " and then ", "\n", "  "]))
    parts.append("W" * 3000 + " end " + "i" * 2500 + "-")
    return "".join(parts)


def cut_words(seed):
    """Lines of 40 characters that words fill to the end, or nearly, before one that is longer than a line."""
    pick = random.Random(seed)
    text = ""
    for _ in range(120):
        length = pick.choice([20, 37, 38, 39, 40])
        line = ""
        while len(line) < length:
            line += pick.choice("ab") * pick.randint(1, 6) + " "
        line = line[:length].rstrip()
        text += line.ljust(length, "c") + " " + "x" * pick.choice([41, 60, 85, 130]) + pick.choice("  \n")
    return text


EMOJI = (
    "Plain words, then emoji: \U0001F600 \U0001F680 \U0001F469\u200D\U0001F4BB \U0001F1E9\U0001F1EA "
    "flags, \u2764\uFE0F heart, \U0001F9D1\U0001F3FD\u200D\U0001F680 astronaut, \u26A1 power.\n"
    "Rows: " + "\U0001F602" * 90 + " end\nMathematics: \u222B \u2211 \u221A \u2202 \U0001D4D0 \U0001D7D8"
)
RTL = (
    "English first, then Hebrew: \u05E9\u05DC\u05D5\u05DD \u05E2\u05D5\u05DC\u05DD, and back.\n"
    "\u05D1\u05E8\u05D0\u05E9\u05D9\u05EA \u05D4\u05D9\u05D4 \u05D4\u05D3\u05D1\u05E8 " * 20
    + "\nArabic: \u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064A\u0643\u0645 1234 \u0645\u0631\u062D\u0628\u0627.\n"
    + "\u0645\u0631\u062D\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 " * 30
)
CONTROLS = (
    "tab\there\t\ttwo tabs\ttab and space \t x\n\tleading tab\n  leading spaces  \n trailing \t\n"
    "carriage return\r\nform\x0cfeed vertical\x0btab bell\x07 escape\x1b[0m null\x00end\n"
    "raw\u00a0no-break\u00a0space \u00a0 mixed \u00a0\u00a0& more \u00a0\n"
    "soft\u00adhyphen zero\u200bwidth a \u200b b thin\u2009space ideographic\u3000space\n"
    "line\u2028separator next\u0085line\ufeffBOM com\u0301bining \u202ERLO\u202C\n"
    "<b>not bold</b> &amp; &nbsp; &#65; <br/> </para> <para> \\n \"quotes\" 'single'\n"
    "   \n \n\n&\n<\n  \u00a0\n" + "a\u00a0" * 100 + "b & " + "c\u00a0\u00a0 " * 60
)

_indented = EN | {
    "first-line-indent": 24, "left-indent": 30, "right-indent": 50, "space-before": 7,
    "space-after": 4, "line-height": 11.3, "font-size": 8.7,
}
_coloured = EN | {
    "page-size": "400,300", "page-bg-color": "#E8F0FF", "para-bg-color": "#FFF8DC",
    "para-border-color": "#804020", "border-width": 1.5, "border-padding": 3, "margin-x": 20,
    "margin-y": 18, "font-color": "#123456", "space-after": 9, "newline-markup": RED_MARKER,
}

CASES = {
    "latin": (EN, prose(1, 420), 0),
    "latin_single_line": (EN, prose(2, 160).replace("\n", " ").replace("&", "and").replace("<", " "), 0),
    "latin_marker": (EN | {"newline-markup": RED_MARKER, "page-size": "360,480"}, prose(3, 200, (1, 2)), 0),
    "chinese": (ZH, chinese(4, 900), 0),
    "chinese_single_line": (ZH, " ".join(re.sub("[&<]", "", chinese(5, 700, 0.05)).split()), 0),
    "chinese_long_line": (ZH, "开头 & " + chinese(24, 600, 0.05).replace("\n", " "), 0),
    "chinese_marker": (ZH | {"newline-markup": RED_MARKER, "page-size": "300,400"}, chinese(6, 420), 0),
    "mixed": (ZH, chinese(7, 700, 0.2), 0),
    "code": (MONO, code(8, 220), 0),
    "code_large": (MONO | {"font-size": 17, "line-height": 19.25, "dpi": 96}, code(9, 60), 0),
    "large_type": (EN | {"font-size": 29, "line-height": 33.5}, prose(25, 40), 0),
    "long_words": (EN, long_words(10), 0),
    "long_words_indented": (_indented, long_words(11), 0),
    "cut_words": (MINI, cut_words(26), 0),
    "empty": (EN, "", 0),
    "blank_lines": (EN, "\n" * 200 + "one line\n" + "\n" * 90 + "last\n\n\n", 0),
    "one_blank_line": (EN, "\n", 0),
    "controls": (EN, CONTROLS, 0),
    "controls_chinese": (ZH, CONTROLS + "\n中文", 0),
    "emoji": (EN, EMOJI, 0),
    "right_to_left": (EN, RTL, 0),
    "justified": (EN | {"alignment": "JUSTIFY", "dpi": 96}, prose(12, 200), 0),
    "justified_chinese": (ZH | {"alignment": "JUSTIFY"}, chinese(13, 400, 0.15), 0),
    "centred": (_indented | {"alignment": "CENTER"}, prose(14, 160), 0),
    "right_aligned": (_indented | {"alignment": "RIGHT", "page-size": "420.5,595.3"}, prose(15, 160), 0),
    "right_aligned_chinese": (ZH | {"alignment": "RIGHT", "first-line-indent": 18}, chinese(16, 300, 0.1), 0),
    "coloured": (_coloured, prose(17, 60, (1, 3)), 0),
    "scaled": (EN | {"horizontal-scale": 0.8, "page-size": "400,300"}, prose(18, 60), 0),
    "defaults": ({"font-path": "DejaVuSans.ttf"}, prose(19, 260), 0),
    "exact_page": (MONO | {"page-size": "200,120", "line-height": 11}, "\n".join(f"row {i}" for i in range(1, 400)) + "\n", 0),
    "mini_8_lines": (MINI, prose(20, 60, (1, 3)), 0),
    "mini_16_lines": (MINI | {"line-height": 14}, prose(21, 90, (1, 3)), 0),
    "megabyte_latin": (EN, prose(22, 300), 3300),
    "megabyte_chinese": (ZH, chinese(23, 700, 0.04), 8000),
}
