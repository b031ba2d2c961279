"""A colour data set of 32×32 pictures with classes, from Debian's fonts-noto-color-emoji and unicode-data.

    apt-get install fonts-noto-color-emoji unicode-data python3-fonttools python3-pil
    /usr/bin/python3 conf/train/emoji32.py emoji/           # a folder of PNGs for each class
    /usr/bin/python3 conf/train/emoji32.py emoji/ --sheet emoji.png
    pfgm train --data emoji/ -o run/ --config conf/train/emoji32.json

The pictures are the font's own bitmaps (136×128, table CBDT) over white, made smaller by averaging. Their classes follow
the groups of Unicode's emoji-test.txt. A picture that stands in the font more than once is taken once, so no picture
weighs more than another. The font's licence is the SIL Open Font License 1.1: emoji.LICENSE, which is written beside
the folder, holds it, and a model of these pictures goes with it.
"""

import argparse
import hashlib
import io
import os
import sys

from fontTools.ttLib import TTFont
from PIL import Image

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
LICENCE = "/usr/share/doc/fonts-noto-color-emoji/copyright"
TEST = "/usr/share/unicode/emoji/emoji-test.txt"
SIDE, CANVAS = 32, 136
EMOJI_STYLE = 0xFE0F  # asks for the coloured form; the font's ligatures go without it

# A class of each subgroup, or of its group; those that are not named are left out: what is little more than letters.
CLASSES = {
    "face-": "face", "cat-face": "face", "monkey-face": "face",
    "hand": "hand", "person": "person", "animal-": "animal", "plant-": "plant", "Food & Drink": "food",
    "transport-ground": "vehicle", "transport-water": "vehicle", "transport-air": "vehicle",
    "place-": "place", "clothing": "clothing", "Objects": "object", "Activities": "activity",
    "Flags": "flag", "heart": "heart", "sky & weather": "sky", "time": "clock",
}
LEFT_OUT = ("person-symbol",)


def class_of(group, subgroup):
    if subgroup in LEFT_OUT:
        return None
    for start, name in CLASSES.items():
        if subgroup.startswith(start) or group == start:
            return name
    return None


def listed():
    """(class, code points) of every emoji of the list that has a class, in its order."""
    group = subgroup = ""
    with open(TEST, encoding="utf-8") as f:
        for line in f:
            if line.startswith("# group:"):
                group = line.split(":", 1)[1].strip()
            elif line.startswith("# subgroup:"):
                subgroup = line.split(":", 1)[1].strip()
            elif "; fully-qualified" in line:
                name = class_of(group, subgroup)
                if name:
                    yield name, [int(word, 16) for word in line.split(";")[0].split()]


def ligatures(font):
    """The glyph that a tuple of glyphs becomes."""
    found = {}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            table = getattr(table, "ExtSubTable", table)
            for first, each in getattr(table, "ligatures", {}).items():
                for ligature in each:
                    found[(first, *ligature.Component)] = ligature.LigGlyph
    return found


def bitmaps(font):
    """PNG bytes by the glyph's name."""
    [strike] = font["CBDT"].strikeData
    return {name: glyph.imageData for name, glyph in strike.items()}


def picture(png):
    """32×32 RGB over white, averaged: the whole canvas, so that sizes stay what they are to each other."""
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    if drawn.width > CANVAS or drawn.height > CANVAS:
        sys.exit(f"a bitmap of {drawn.width}×{drawn.height} pixels: more than {CANVAS} a side")
    canvas = Image.new("RGBA", (CANVAS, CANVAS), (255, 255, 255, 255))
    canvas.alpha_composite(drawn, ((CANVAS - drawn.width) // 2, (CANVAS - drawn.height) // 2))
    return canvas.convert("RGB").resize((SIDE, SIDE), Image.BOX)


def collect():
    """(class, name, picture), each picture once, and how many emojis the font does not draw."""
    font = TTFont(FONT)
    known, joined, drawn = font.getBestCmap(), ligatures(font), bitmaps(font)
    seen, found, missing = set(), [], 0
    for label, points in listed():
        glyphs = tuple(known.get(p) for p in points if p != EMOJI_STYLE)
        glyph = glyphs[0] if len(glyphs) == 1 else joined.get(glyphs)
        if glyph not in drawn:
            missing += 1
            continue
        small = picture(drawn[glyph])
        digest = hashlib.sha256(small.tobytes()).digest()
        if digest not in seen:
            seen.add(digest)
            found.append((label, "-".join(f"{p:x}" for p in points), small))
    return found, missing


def sheet(found, columns=24):
    """The first of each class, two rows of it."""
    labels = sorted({label for label, _, _ in found})
    out = Image.new("RGB", (columns * SIDE, 2 * len(labels) * SIDE), "white")
    for row, label in enumerate(labels):
        its = [small for each, _, small in found if each == label]
        for i in range(2 * columns):
            if i < len(its):
                at = i * max(1, len(its) // (2 * columns)) if len(its) > 2 * columns else i
                out.paste(its[at], (i % columns * SIDE, (2 * row + i // columns) * SIDE))
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", help="where to write; it must not be there yet")
    p.add_argument("--sheet", help="a PNG of some of each class, to look at")
    o = p.parse_args()
    found, missing = collect()
    os.makedirs(o.folder)
    for label, name, small in found:
        os.makedirs(os.path.join(o.folder, label), exist_ok=True)
        small.save(os.path.join(o.folder, label, name + ".png"))
    with open(LICENCE, encoding="utf-8") as f, open(o.folder.rstrip("/") + ".LICENSE", "w", encoding="utf-8") as out:
        out.write(f.read())
    if o.sheet:
        sheet(found).save(o.sheet)
    counts = {}
    for label, _, _ in found:
        counts[label] = counts.get(label, 0) + 1
    print(f"{len(found)} pictures, {missing} that the font does not draw: " + ", ".join(f"{n} {k}" for k, n in sorted(counts.items())))


if __name__ == "__main__":
    main()
