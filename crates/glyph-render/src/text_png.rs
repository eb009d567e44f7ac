//! A PNG encoder for text pages, faster than a general one (measured in docs/RENDERING.md).
//!
//! A page is mostly paper of one value, and the values of its ink are spread evenly. So one fixed
//! code serves every page: a byte of paper takes one bit, any other byte nine, and long stretches
//! of paper are repeats. Nothing is searched for and nothing counted.

use std::sync::OnceLock;

use simd_adler32::Adler32;

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n'];
/// Deflate with a 32 kB window, lowest compression level.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
/// PNG's kinds of colour.
const GRAY: u8 = 0;
const RGB: u8 = 2;
/// PNG's filter that stores pixels as they are.
const NO_FILTER: u8 = 0;

/// Symbol that ends a deflate block.
const END_OF_BLOCK: usize = 256;
/// Symbol of the longest repeat.
const LONGEST_REPEAT: usize = 285;
/// Bytes that [`LONGEST_REPEAT`] stands for.
const REPEAT_LENGTH: usize = 258;
/// Bits that can be added at once while up to seven wait to fill a byte.
const MAX_PUSH: u32 = 56;
/// Bytes that are encoded at once: the codes of no six exceed [`MAX_PUSH`].
const GROUP: usize = 6;
/// Symbols of the literal and length alphabet.
const SYMBOLS: usize = 286;

/// Pairs of literals.
const PAIRS: usize = 1 << 16;
/// Position of the length in a word of code.
const LENGTH_SHIFT: u32 = 24;
/// The code in a word, without its length.
const CODE_MASK: u32 = (1 << LENGTH_SHIFT) - 1;

/// The code of pages with paper of one value.
struct Code {
    paper: u8,
    lengths: [u8; SYMBOLS],
    /// Codes with their bits reversed, as deflate writes them, and their lengths above.
    words: [u32; SYMBOLS],
    /// The codes of two literals in a row, the first one in the low byte of the index.
    pairs: Box<[u32; PAIRS]>,
}

impl Code {
    /// The code for paper of a value; made once.
    fn of_paper(paper: u8) -> &'static Code {
        static CODES: [OnceLock<Code>; 256] = [const { OnceLock::new() }; 256];
        CODES[usize::from(paper)].get_or_init(|| Code::new(paper))
    }

    fn new(paper: u8) -> Code {
        let mut lengths = [0; SYMBOLS];
        // The code is complete: 1/2 + 255/512 + 2/1024 = 1.
        lengths[..256].fill(9);
        lengths[usize::from(paper)] = 1;
        lengths[END_OF_BLOCK] = 10;
        lengths[LONGEST_REPEAT] = 10;
        let mut words = [0; SYMBOLS];
        let mut next = 0_u16;
        for length in 1..=10_u8 {
            for symbol in (0..SYMBOLS).filter(|symbol| lengths[*symbol] == length) {
                let reversed = next.reverse_bits() >> (16 - u32::from(length));
                words[symbol] = u32::from(reversed) | (u32::from(length) << LENGTH_SHIFT);
                next += 1;
            }
            next <<= 1;
        }
        let pair = |index: usize| {
            let (first, second) = (words[index % 256], words[index / 256]);
            // The lengths add up in the bits above the codes.
            let shifted = (second & CODE_MASK) << (first >> LENGTH_SHIFT);
            (first | shifted) + (second & !CODE_MASK)
        };
        let pairs: Vec<u32> = (0..PAIRS).map(pair).collect();
        // The length is right; the other branch only spares a panic.
        let pairs = pairs.try_into().unwrap_or_else(|_| Box::new([0; PAIRS]));
        Code {
            paper,
            lengths,
            words,
            pairs,
        }
    }

    /// The codes of a group of literals and the sum of their lengths.
    #[inline(always)]
    fn group(&self, [a, b, c, d, e, f]: [u8; GROUP]) -> (u64, u32) {
        let pair = |a, b| self.pairs[usize::from(u16::from_le_bytes([a, b]))];
        let bits = |word: u32| u64::from(word & CODE_MASK);
        let (ab, cd, ef) = (pair(a, b), pair(c, d), pair(e, f));
        let two = ab >> LENGTH_SHIFT;
        let four = two + (cd >> LENGTH_SHIFT);
        let all = four + (ef >> LENGTH_SHIFT);
        (bits(ab) | (bits(cd) << two) | (bits(ef) << four), all)
    }
}

/// Encodes rows of pixels, from the top, with one byte (gray) or three bytes (red, green, blue)
/// each. The file is put together in `memory`, which an earlier call may have left.
///
/// Right for every page; the file is small where most bytes have the value `paper`.
pub(crate) fn encode<'a>(
    rows: impl Iterator<Item = &'a [u8]>,
    (width_px, height_px): (u32, u32),
    channels: usize,
    paper: u8,
    memory: &mut Vec<u8>,
) -> Vec<u8> {
    let mut writer = BitWriter::new(std::mem::take(memory));
    writer.write_bytes(&SIGNATURE);
    let header = writer.start_chunk(b"IHDR");
    writer.write_bytes(&width_px.to_be_bytes());
    writer.write_bytes(&height_px.to_be_bytes());
    // Bit depth, kind of colour, and the only compression, filter set and order of rows.
    let color = if channels == 1 { GRAY } else { RGB };
    writer.write_bytes(&[8, color, 0, 0, 0]);
    writer.end_chunk(header);

    let data = writer.start_chunk(b"IDAT");
    writer.write_bytes(&ZLIB_HEADER);
    let code = Code::of_paper(paper);
    writer.write_block_header(code);
    let mut checksum = Adler32::new();
    for row in rows {
        checksum.write(&[NO_FILTER]);
        checksum.write(row);
        writer.write_row(row, code);
    }
    writer.write_block_end(code);
    writer.write_bytes(&checksum.finish().to_be_bytes());
    writer.end_chunk(data);

    let end = writer.start_chunk(b"IEND");
    writer.end_chunk(end);
    let png = writer.written().to_vec();
    *memory = writer.out;
    png
}

/// Writes PNG's bytes and deflate's bits.
struct BitWriter {
    /// Bytes written, followed by room for more.
    out: Vec<u8>,
    cursor: Cursor,
}

/// The place of the next bit; small and copied, so that it stays in registers while a row is
/// encoded.
#[derive(Clone, Copy, Default)]
struct Cursor {
    /// Whole bytes written; 32 bits, so that the end of a word cannot overflow.
    length: u32,
    /// Bits that are not written yet, the next one lowest.
    buffer: u64,
    /// How many; below 8 after [`Cursor::push`].
    count: u32,
    /// Bytes of paper that are not encoded yet.
    paper: usize,
}

impl Cursor {
    /// Adds up to [`MAX_PUSH`] bits and writes whole bytes to `out`, which has room for a word.
    #[inline(always)]
    fn push(&mut self, out: &mut [u8], bits: u64, count: u32) {
        self.buffer |= bits << self.count;
        self.count += count;
        // A whole word is written and the length set to the bytes of it that are complete.
        let start = self.length as usize;
        let word = out.get_mut(start..start + size_of::<u64>());
        if let Some(word) = word.and_then(|word| word.first_chunk_mut()) {
            *word = self.buffer.to_le_bytes();
        }
        self.length += self.count / 8;
        // At most 63 bits are written: `count` was below 8 before.
        self.buffer >>= self.count & !7;
        self.count &= 7;
    }

    #[inline(always)]
    fn push_word(&mut self, out: &mut [u8], word: u32) {
        self.push(out, u64::from(word & CODE_MASK), word >> LENGTH_SHIFT);
    }

    /// Encodes the pending paper: repeats of the byte before, then single bytes, which are zero
    /// bits.
    #[inline(always)]
    fn push_paper(&mut self, out: &mut [u8], code: &Code) {
        if self.paper > REPEAT_LENGTH {
            self.push(out, 0, 1);
            self.paper -= 1;
            while self.paper >= REPEAT_LENGTH {
                self.push_word(out, code.words[LONGEST_REPEAT]);
                // The distance code, a zero bit.
                self.push(out, 0, 1);
                self.paper -= REPEAT_LENGTH;
            }
        }
        while self.paper > 0 {
            let count = self.paper.min(MAX_PUSH as usize);
            self.push(out, 0, count as u32);
            self.paper -= count;
        }
    }
}

impl BitWriter {
    /// Starts anew in `out`, whatever it holds.
    fn new(out: Vec<u8>) -> BitWriter {
        BitWriter {
            out,
            cursor: Cursor::default(),
        }
    }

    fn written(&self) -> &[u8] {
        &self.out[..self.cursor.length as usize]
    }

    /// Writes whole bytes; no bits may be waiting.
    fn write_bytes(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        let start = self.cursor.length as usize;
        self.out[start..start + bytes.len()].copy_from_slice(bytes);
        self.cursor.length += bytes.len() as u32;
    }

    /// Starts a chunk and says where.
    fn start_chunk(&mut self, kind: &[u8; 4]) -> usize {
        let start = self.cursor.length as usize;
        self.write_bytes(&[0; 4]);
        self.write_bytes(kind);
        start
    }

    /// Puts a chunk's length before it and its checksum behind it.
    fn end_chunk(&mut self, start: usize) {
        const LENGTH_AND_KIND: usize = 8;
        let length = (self.written().len() - start - LENGTH_AND_KIND) as u32;
        self.out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        let checksum = crc32fast::hash(&self.written()[start + 4..]);
        self.write_bytes(&checksum.to_be_bytes());
    }

    /// Makes room for `bytes` more and a word beyond.
    fn reserve(&mut self, bytes: usize) {
        let needed = self.cursor.length as usize + bytes + size_of::<u64>();
        if self.out.len() < needed {
            // Doubling keeps the number of copies low.
            self.out.resize(needed.max(self.out.len() * 2), 0);
        }
    }

    /// The only block, with its own codes: their lengths are 0, 1, 9 and 10, two bits each.
    fn write_block_header(&mut self, code: &Code) {
        const LENGTHS_IN_USE: [u8; 4] = [0, 1, 9, 10];
        /// Order in which deflate lists the code lengths of code lengths, up to the last in use.
        const ORDER: [u8; 18] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1];
        const IS_LAST: u64 = 1;
        const OWN_CODES: u64 = 2;
        // Three bits for each length of a length and two for each length.
        self.reserve(SYMBOLS);
        let (cursor, out) = (&mut self.cursor, &mut self.out);
        cursor.push(out, IS_LAST | (OWN_CODES << 1), 3);
        cursor.push(out, SYMBOLS as u64 - 257, 5);
        // One distance code: the byte before.
        cursor.push(out, 0, 5);
        cursor.push(out, ORDER.len() as u64 - 4, 4);
        for length in ORDER {
            cursor.push(
                out,
                if LENGTHS_IN_USE.contains(&length) {
                    2
                } else {
                    0
                },
                3,
            );
        }
        let distance_code_length = 1;
        for length in code.lengths.into_iter().chain([distance_code_length]) {
            let place = LENGTHS_IN_USE
                .iter()
                .position(|used| *used == length)
                .unwrap_or(0) as u8;
            cursor.push(out, u64::from(place.reverse_bits() >> 6), 2);
        }
    }

    /// Encodes a row with its filter; paper at its end stays pending.
    fn write_row(&mut self, row: &[u8], code: &Code) {
        // Nine bits for each byte; pending paper takes at most a bit for each byte.
        self.reserve((row.len() * 9 + self.cursor.paper + REPEAT_LENGTH) / 8 + 16);
        let mut cursor = self.cursor;
        let out = &mut self.out[..];
        cursor.push_paper(out, code);
        cursor.push_word(out, code.words[usize::from(NO_FILTER)]);
        let (groups, rest) = row.as_chunks::<GROUP>();
        for group in groups {
            if *group == [code.paper; GROUP] {
                cursor.paper += GROUP;
                continue;
            }
            cursor.push_paper(out, code);
            let (bits, count) = code.group(*group);
            cursor.push(out, bits, count);
        }
        for byte in rest {
            if *byte == code.paper {
                cursor.paper += 1;
            } else {
                cursor.push_paper(out, code);
                cursor.push_word(out, code.words[usize::from(*byte)]);
            }
        }
        self.cursor = cursor;
    }

    /// Ends the block and fills its last byte.
    fn write_block_end(&mut self, code: &Code) {
        self.reserve((self.cursor.paper + REPEAT_LENGTH) / 8 + 16);
        let (cursor, out) = (&mut self.cursor, &mut self.out);
        cursor.push_paper(out, code);
        cursor.push_word(out, code.words[END_OF_BLOCK]);
        cursor.push(out, 0, 7);
        (cursor.buffer, cursor.count) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_complete() {
        for paper in 0..=255 {
            let lengths = Code::of_paper(paper).lengths;
            let used = lengths.iter().filter(|length| **length > 0);
            let sum: f64 = used.map(|length| 0.5_f64.powi(i32::from(*length))).sum();
            assert_eq!(sum, 1.0, "paper {paper}");
        }
    }

    #[test]
    fn other_decoders_read_every_value_and_run() {
        // What an earlier file left must not matter.
        let mut memory = vec![0xA5; 3];
        let mut seed = 1_u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12345);
            (seed >> 16) as u8
        };
        for (width, height) in [(1, 1), (1, 300), (7, 3), (256, 2), (595, 842), (1000, 40)] {
            let noise: Vec<u8> = (0..width * height * 3).map(|_| random()).collect();
            let steps: Vec<u8> = (0..width * height * 3)
                .map(|place| (place / 300) as u8)
                .collect();
            let plain = [vec![255; width * height * 3], vec![0; width * height * 3]];
            for bytes in [noise, steps].iter().chain(&plain) {
                let size_px = (width as u32, height as u32);
                let gray = &bytes[..width * height];
                let png = encode(gray.chunks(width), size_px, 1, 255, &mut memory);
                let decoded = image::load_from_memory(&png).unwrap().to_luma8();
                assert_eq!(decoded.dimensions(), size_px);
                assert!(decoded.into_raw() == gray, "gray {width}×{height}");
                let png = encode(bytes.chunks(width * 3), size_px, 3, 0, &mut memory);
                let decoded = image::load_from_memory(&png).unwrap().to_rgb8();
                assert!(&decoded.into_raw() == bytes, "RGB {width}×{height}");
            }
        }
    }
}
