//! The markup that stands for a newline of the text.

use crate::style::Rgb;

/// Most bytes of a markup. Every newline of a text is replaced by it, and markers are numbered in
/// one byte.
const MAX_MARKUP_BYTES: usize = 1000;

/// What the official renderer writes for each newline: a line break, or a visible marker that
/// packs more text on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewlineMarkup {
    source: String,
    pieces: Vec<MarkupPiece>,
}

/// One part of a [`NewlineMarkup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MarkupPiece {
    /// `<br/>`: the line ends here.
    Break,
    /// Text drawn in place of the newline, in the style's colour where `color` is `None`.
    Text { text: String, color: Option<Rgb> },
}

impl NewlineMarkup {
    /// `<br/>`: each newline of the text ends a line. The official default.
    pub fn line_break() -> NewlineMarkup {
        NewlineMarkup {
            source: "<br/>".to_owned(),
            pieces: vec![MarkupPiece::Break],
        }
    }

    /// The official visible marker: a red backslash-n between spaces.
    pub fn red_marker() -> NewlineMarkup {
        let color = Rgb {
            red: 255,
            green: 0,
            blue: 0,
        };
        NewlineMarkup {
            source: "<font color=\"#FF0000\"> \\n </font>".to_owned(),
            pieces: vec![MarkupPiece::Text {
                text: " \\n ".to_owned(),
                color: Some(color),
            }],
        }
    }

    /// Reads `<br/>`, plain text and `<font color="#RRGGBB">plain text</font>` in any sequence,
    /// at most 1000 bytes; anything else gives `None`.
    pub fn parse(source: &str) -> Option<NewlineMarkup> {
        if source.len() > MAX_MARKUP_BYTES {
            return None;
        }
        let mut pieces = Vec::new();
        let mut rest = source;
        while !rest.is_empty() {
            let tag = rest.find('<').unwrap_or(rest.len());
            if tag > 0 {
                pieces.push(plain(&rest[..tag], None)?);
                rest = &rest[tag..];
            } else if let Some(after) = ["<br/>", "<br />"]
                .iter()
                .find_map(|b| rest.strip_prefix(b))
            {
                pieces.push(MarkupPiece::Break);
                rest = after;
            } else {
                let after = rest.strip_prefix("<font color=")?;
                let (tag, after) = after.split_once('>')?;
                let color = tag
                    .strip_prefix('"')
                    .and_then(|tag| tag.strip_suffix('"'))
                    .or_else(|| {
                        tag.strip_prefix('\'')
                            .and_then(|tag| tag.strip_suffix('\''))
                    })?;
                let (text, after) = after.split_once("</font>")?;
                pieces.push(plain(text, Some(Rgb::from_hex(color)?))?);
                rest = after;
            }
        }
        Some(NewlineMarkup {
            source: source.to_owned(),
            pieces,
        })
    }

    /// The markup as written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    pub(crate) fn pieces(&self) -> &[MarkupPiece] {
        &self.pieces
    }

    /// The colours of the markers, in order; a fragment's colour number is its place here plus 1.
    pub(crate) fn colors(&self) -> impl Iterator<Item = Rgb> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            MarkupPiece::Text { color, .. } => *color,
            MarkupPiece::Break => None,
        })
    }
}

/// Text without tags and entities.
fn plain(text: &str, color: Option<Rgb>) -> Option<MarkupPiece> {
    let is_plain = !text.contains(['<', '>', '&']);
    is_plain.then(|| MarkupPiece::Text {
        text: text.to_owned(),
        color,
    })
}
