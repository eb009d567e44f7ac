"""The rendering steps of the official Glyph code, with reportlab and poppler.

Written from a description of the steps (docs/RENDERING.md), as the reference that the Rust
renderer is measured against. Besides the page images it returns the lines that reportlab drew.
"""

import io
import os
import re
from xml.sax.saxutils import escape

import numpy as np
from pdf2image import convert_from_bytes
from PIL import Image
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY, TA_LEFT, TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.textobject import PDFTextObject
from reportlab.platypus import Paragraph, SimpleDocTemplate

Image.MAX_IMAGE_PIXELS = None

ALIGNMENTS = {"LEFT": TA_LEFT, "CENTER": TA_CENTER, "RIGHT": TA_RIGHT, "JUSTIFY": TA_JUSTIFY}
LINES_PER_PARAGRAPH = 30
PAGES_PER_BATCH = 20
INK_TOLERANCE = 5


class LineLog:
    """Collects what every text operator draws, line by line."""

    def __init__(self):
        self.pages = []
        self.part = ""

    def install(self):
        original = PDFTextObject._textOut
        log = self

        def text_out(text_object, text, TStar=0):
            page = text_object._canvas.getPageNumber()
            while len(log.pages) < page:
                log.pages.append([])
            log.part += text
            if TStar:
                log.pages[page - 1].append(log.part)
                log.part = ""
            return original(text_object, text, TStar)

        PDFTextObject._textOut = text_out
        return original


def page_size(style):
    width, height = (float(side) for side in style.get("page-size", "595.2755905511812,841.8897637795277").split(","))
    return width, height


def register_font(style, font_dir):
    path = style["font-path"]
    if not os.path.isabs(path):
        path = os.path.join(font_dir, path)
    name = os.path.basename(path).split(".")[0]
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(name, path))
    return name


def make_pdf(text, style, font_dir):
    """The page description of a text."""
    font_name = register_font(style, font_dir)
    size = style.get("font-size", 9)
    background = HexColor(style.get("page-bg-color", "#FFFFFF"))
    sides = page_size(style)
    paragraph_style = ParagraphStyle(
        name="page",
        fontName=font_name,
        fontSize=size,
        leading=style.get("line-height") or size + 1,
        textColor=HexColor(style.get("font-color", "#000000")),
        backColor=HexColor(style.get("para-bg-color", "#FFFFFF")),
        borderColor=HexColor(style.get("para-border-color", "#FFFFFF")),
        borderWidth=style.get("border-width", 0),
        borderPadding=style.get("border-padding", 0),
        firstLineIndent=style.get("first-line-indent", 0),
        leftIndent=style.get("left-indent", 0),
        rightIndent=style.get("right-indent", 0),
        alignment=ALIGNMENTS[style.get("alignment", "JUSTIFY")],
        spaceBefore=style.get("space-before", 0),
        spaceAfter=style.get("space-after", 0),
        wordWrap="CJK" if re.search("[\u4e00-\u9fff]", text) else None,
    )
    text = escape(text.replace("\xad", "").replace("\u200b", ""))
    text = re.sub(" {2,}", lambda run: "&nbsp;" * len(run.group()), text)
    lines = text.split("\n")
    newline = style.get("newline-markup", "<br/>")
    story = [
        Paragraph(newline.join(lines[first : first + LINES_PER_PARAGRAPH]), paragraph_style)
        for first in range(0, len(lines), LINES_PER_PARAGRAPH)
    ]

    def paint_page(canvas, _document):
        canvas.saveState()
        canvas.setFillColor(background)
        canvas.rect(0, 0, sides[0], sides[1], stroke=0, fill=1)
        canvas.restoreState()

    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=sides,
        leftMargin=style.get("margin-x", 20),
        rightMargin=style.get("margin-x", 20),
        topMargin=style.get("margin-y", 20),
        bottomMargin=style.get("margin-y", 20),
    )
    document.build(story, onFirstPage=paint_page, onLaterPages=paint_page)
    return buffer.getvalue()


def finish(image, style, is_last):
    """Scales and crops a page as the official script does."""
    scale = style.get("horizontal-scale", 1.0)
    if scale != 1.0:
        image = image.resize((int(image.width * scale), image.height))
    crops_width = style.get("auto-crop-width", False)
    crops_height = style.get("auto-crop-last-page", False) and is_last
    if not crops_width and not crops_height:
        return image
    gray = np.array(image.convert("L"))
    ink = np.abs(gray - np.median(gray[:2, :2])) > INK_TOLERANCE
    columns = np.where(ink.any(axis=0))[0]
    rows = np.where(ink.any(axis=1))[0]
    if crops_width and columns.size:
        right = min(image.width, columns[-1] + 1 + style.get("margin-x", 20))
        image = image.crop((0, 0, right, image.height))
    if crops_height and rows.size:
        bottom = min(image.height, rows[-1] + style.get("margin-y", 20))
        image = image.crop((0, 0, image.width, bottom))
    return image


def page_count(pdf):
    return len(re.findall(rb"/Type /Page\b", pdf))


def render(text, style, font_dir):
    """Yields the finished page images of a text."""
    pdf = make_pdf(text, style, font_dir)
    total = page_count(pdf)
    for first in range(1, total + 1, PAGES_PER_BATCH):
        last = min(first + PAGES_PER_BATCH - 1, total)
        batch = convert_from_bytes(
            pdf, dpi=style.get("dpi", 72), first_page=first, last_page=last
        )
        for number, image in enumerate(batch, start=first):
            yield finish(image, style, number == total)
