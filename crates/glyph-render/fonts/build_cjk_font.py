#!/usr/bin/env python3
"""Builds NotoSansMonoCJKsc-Subset.ttf from the Noto Sans CJK collection.

    pip install fonttools==4.68.0
    apt-get download fonts-noto-cjk          # Debian 12: 1:20220127+repack1-1
    python build_cjk_font.py NotoSansCJK-Regular.ttc NotoSansMonoCJKsc-Subset.ttf

Takes the face "Noto Sans Mono CJK SC" (half-width Latin, as in the official renderer's Source Han
Sans HW SC), keeps the characters of GB 2312 with Latin, punctuation, kana and full-width forms,
and turns its cubic outlines into TrueType ones, which reportlab can embed.
"""

import argparse

from fontTools import subset
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection

FACE = "Noto Sans Mono CJK SC"
FAMILY = "Noto Sans Mono CJK SC Subset"
POSTSCRIPT_NAME = "NotoSansMonoCJKsc-Subset"
# Distance in font units (1000 an em) that an outline may move: 0.01 pixels at the official size.
MAX_ERROR_UNITS = 1.2
# The time stamp of the source release, so that the same input gives the same bytes.
MODIFIED = 3726086400


def gb2312_characters():
    """Every character that GB 2312 can encode."""
    for high in range(0xA1, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                yield ord(bytes([high, low]).decode("gb2312"))
            except UnicodeDecodeError:
                continue


def wanted_characters():
    ranges = [
        (0x20, 0x7E),      # ASCII
        (0xA0, 0x17F),     # Latin with accents
        (0x2010, 0x2044),  # dashes, quotes, ellipsis
        (0x20A0, 0x20BF),  # currencies
        (0x2100, 0x2193),  # letterlike signs, Roman numerals, arrows
        (0x2200, 0x22FF),  # mathematics
        (0x2460, 0x24FF),  # circled numbers
        (0x2500, 0x25FF),  # boxes and shapes
        (0x2605, 0x266F),  # stars and signs
        (0x3000, 0x30FF),  # ideographic punctuation, hiragana, katakana
        (0x3105, 0x312F),  # bopomofo
        (0x3200, 0x33FF),  # enclosed and squared signs
        (0xFF00, 0xFFEF),  # full-width and half-width forms
    ]
    wanted = {code for first, last in ranges for code in range(first, last + 1)}
    return wanted | set(gb2312_characters())


def build(collection_path, output_path):
    collection = TTCollection(collection_path)
    source = next(face for face in collection.fonts if face["name"].getDebugName(4) == FACE)
    original_names = source["name"]
    options = subset.Options()
    options.name_IDs = ["*"]
    options.layout_features = []
    options.drop_tables += ["GSUB", "GPOS", "BASE", "VORG", "vhea", "vmtx", "DSIG"]
    options.hinting = False
    options.notdef_outline = True
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=wanted_characters())
    subsetter.subset(source)

    outlines = source.getGlyphSet()
    order = source.getGlyphOrder()
    glyphs, metrics = {}, {}
    for name in order:
        pen = TTGlyphPen(None)
        # TrueType outlines turn the other way.
        outlines[name].draw(Cu2QuPen(pen, MAX_ERROR_UNITS, reverse_direction=True))
        glyphs[name] = pen.glyph()
    builder = FontBuilder(source["head"].unitsPerEm, isTTF=True)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(source.getBestCmap())
    builder.setupGlyf(glyphs)
    for name in order:
        metrics[name] = (source["hmtx"][name][0], getattr(glyphs[name], "xMin", 0))
    builder.setupHorizontalMetrics(metrics)
    hhea, os2 = source["hhea"], source["OS/2"]
    builder.setupHorizontalHeader(ascent=hhea.ascent, descent=hhea.descent)
    # The subsetter keeps few names; the licence must stay in the file.
    names = original_names
    builder.setupNameTable({
        "copyright": names.getDebugName(0),
        "familyName": FAMILY,
        "styleName": "Regular",
        "uniqueFontIdentifier": f"{names.getDebugName(5)};{POSTSCRIPT_NAME}",
        "fullName": FAMILY,
        "version": names.getDebugName(5).split(";")[0],
        "psName": POSTSCRIPT_NAME,
        "trademark": names.getDebugName(7),
        "licenseDescription": names.getDebugName(13),
        "licenseInfoURL": names.getDebugName(14),
    })
    builder.setupOS2(
        sTypoAscender=os2.sTypoAscender, sTypoDescender=os2.sTypoDescender,
        sTypoLineGap=os2.sTypoLineGap, usWinAscent=os2.usWinAscent,
        usWinDescent=os2.usWinDescent, usWeightClass=os2.usWeightClass,
        sxHeight=os2.sxHeight, sCapHeight=os2.sCapHeight, fsType=0,
    )
    builder.setupPost(keepGlyphNames=False)
    builder.font["head"].created = builder.font["head"].modified = MODIFIED
    builder.font.recalcTimestamp = False
    builder.save(output_path)
    print(f"{output_path}: {len(order)} glyphs, {len(source.getBestCmap())} characters")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", help="NotoSansCJK-Regular.ttc")
    parser.add_argument("output", help="the TrueType file to write")
    arguments = parser.parse_args()
    build(arguments.collection, arguments.output)


if __name__ == "__main__":
    main()
