//! A PNG encoder for gray text pages, several times faster than a general one.
//!
//! A page is mostly paper, and the grays of its ink are spread evenly. So one fixed code serves
//! every page: a pixel of paper takes one bit, any other pixel nine or ten, and long stretches of
//! paper are repeats.

use simd_adler32::Adler32;

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n'];
/// Deflate with a 32 kB window, lowest compression level.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
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
/// Symbols of the literal and length alphabet.
const SYMBOLS: usize = 286;

/// The code of a page with paper of one value.
struct Code {
    paper: u8,
    lengths: [u8; SYMBOLS],
    /// Codes with their bits reversed, as deflate writes them, and their lengths from bit 16 on.
    words: [u32; SYMBOLS],
}

impl Code {
    fn new(paper: u8) -> Code {
        let mut lengths = [0; SYMBOLS];
        lengths[..256].fill(9);
        lengths[usize::from(paper)] = 1;
        // One literal and one length code besides those in use are ten bits long, which makes the
        // code complete: 1/2 + 254/512 + 4/1024 = 1.
        lengths[usize::from(paper ^ 0x80)] = 10;
        lengths[END_OF_BLOCK] = 10;
        lengths[LONGEST_REPEAT - 1] = 10;
        lengths[LONGEST_REPEAT] = 10;
        let mut words = [0; SYMBOLS];
        let mut next = 0_u16;
        for length in 1..=10_u8 {
            for symbol in (0..SYMBOLS).filter(|symbol| lengths[*symbol] == length) {
                let reversed = next.reverse_bits() >> (16 - u32::from(length));
                words[symbol] = u32::from(reversed) | (u32::from(length) << 16);
                next += 1;
            }
            next <<= 1;
        }
        Code { paper, lengths, words }
    }
}

/// Encodes rows of one byte a pixel, from the top.
pub(crate) fn encode<'a>(
    rows: impl Iterator<Item = &'a [u8]>,
    width_px: u32,
    height_px: u32,
) -> Vec<u8> {
    let width = width_px as usize;
    // A text page takes four or five bits a pixel.
    let mut png = Vec::with_capacity(width * height_px as usize / 8 * 5 + 1024);
    png.extend_from_slice(&SIGNATURE);
    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&width_px.to_be_bytes());
    header.extend_from_slice(&height_px.to_be_bytes());
    // Bit depth, gray, and the only compression, filter set and order of rows.
    header.extend_from_slice(&[8, 0, 0, 0, 0]);
    write_chunk(&mut png, b"IHDR", |out| out.extend_from_slice(&header));
    write_chunk(&mut png, b"IDAT", |out| {
        out.extend_from_slice(&ZLIB_HEADER);
        let mut checksum = Adler32::new();
        let mut rows = rows.peekable();
        let paper = rows.peek().and_then(|row| row.first()).copied().unwrap_or(u8::MAX);
        let mut bits = BitWriter::new(std::mem::take(out), Code::new(paper));
        bits.write_block_header();
        for row in rows {
            checksum.write(&[NO_FILTER]);
            checksum.write(row);
            bits.write_row(row);
        }
        *out = bits.finish();
        out.extend_from_slice(&checksum.finish().to_be_bytes());
    });
    write_chunk(&mut png, b"IEND", |_| {});
    png
}

/// Writes a chunk with its length and checksum around what `content` appends.
fn write_chunk(png: &mut Vec<u8>, kind: &[u8; 4], content: impl FnOnce(&mut Vec<u8>)) {
    let start = png.len();
    png.extend_from_slice(&[0; 4]);
    png.extend_from_slice(kind);
    content(png);
    let length = (png.len() - start - 8) as u32;
    png[start..start + 4].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32fast::hash(&png[start + 4..]);
    png.extend_from_slice(&checksum.to_be_bytes());
}

/// Writes deflate's bits.
struct BitWriter {
    /// Bytes written, followed by room for more.
    out: Vec<u8>,
    length: usize,
    /// Bits that are not written yet, the next one lowest.
    buffer: u64,
    /// How many; below 8 after [`BitWriter::push`].
    count: u32,
    code: Code,
    /// Bytes of paper that are not encoded yet.
    paper: usize,
}

impl BitWriter {
    fn new(out: Vec<u8>, code: Code) -> BitWriter {
        BitWriter { length: out.len(), out, buffer: 0, count: 0, code, paper: 0 }
    }

    /// Makes room for `bytes` more and a word beyond.
    fn reserve(&mut self, bytes: usize) {
        let needed = self.length + bytes + size_of::<u64>();
        if self.out.len() < needed {
            // Doubling keeps the number of copies low.
            self.out.resize(needed.max(self.out.len() * 2), 0);
        }
    }

    /// Adds up to [`MAX_PUSH`] bits and writes whole bytes; [`BitWriter::reserve`] has made room for them.
    #[inline]
    fn push(&mut self, bits: u64, count: u32) {
        self.buffer |= bits << self.count;
        self.count += count;
        // A whole word is written and the length set to the bytes of it that are complete.
        if let Some(word) = self.out[self.length..].first_chunk_mut() {
            *word = self.buffer.to_le_bytes();
        }
        self.length += (self.count / 8) as usize;
        self.buffer = self.buffer.checked_shr(self.count & !7).unwrap_or(0);
        self.count &= 7;
    }

    /// The only block, with its own codes: their lengths are 0, 1, 9 and 10, two bits each.
    fn write_block_header(&mut self) {
        const LENGTHS_IN_USE: [u8; 4] = [0, 1, 9, 10];
        /// Order in which deflate lists the code lengths of code lengths, up to the last in use.
        const ORDER: [u8; 18] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1];
        const IS_LAST: u64 = 1;
        const OWN_CODES: u64 = 2;
        // Three bits for each length of a length and two for each length, at most.
        self.reserve(SYMBOLS);
        self.push(IS_LAST | (OWN_CODES << 1), 3);
        self.push(SYMBOLS as u64 - 257, 5);
        // One distance code: the byte before.
        self.push(0, 5);
        self.push(ORDER.len() as u64 - 4, 4);
        for length in ORDER {
            self.push(if LENGTHS_IN_USE.contains(&length) { 2 } else { 0 }, 3);
        }
        let distance_code_length = 1;
        for length in self.code.lengths.into_iter().chain([distance_code_length]) {
            let place = LENGTHS_IN_USE.iter().position(|used| *used == length).unwrap_or(0) as u8;
            self.push(u64::from(place.reverse_bits() >> 6), 2);
        }
    }

    /// Encodes a row with its filter; paper at its end stays pending.
    fn write_row(&mut self, row: &[u8]) {
        // Ten bits for each byte; pending paper takes at most a bit for each byte.
        self.reserve((row.len() * 10 + self.paper + REPEAT_LENGTH) / 8 + 16);
        let paper = u64::from_ne_bytes([self.code.paper; 8]);
        self.write_symbol(usize::from(NO_FILTER));
        let (chunks, rest) = row.as_chunks::<8>();
        for chunk in chunks {
            if u64::from_ne_bytes(*chunk) == paper {
                self.paper += 8;
                continue;
            }
            self.write_paper();
            let [a, b, c, d, e, f, g, h] = *chunk;
            let (head, head_count) = self.four([a, b, c, d]);
            let (tail, tail_count) = self.four([e, f, g, h]);
            if head_count + tail_count <= MAX_PUSH {
                self.push(head | (tail << head_count), head_count + tail_count);
            } else {
                self.push(head, head_count);
                self.push(tail, tail_count);
            }
        }
        for byte in rest {
            if *byte == self.code.paper {
                self.paper += 1;
            } else {
                self.write_symbol(usize::from(*byte));
            }
        }
    }

    /// The code of four literals and its length, at most 40 bits.
    #[inline]
    fn four(&self, literals: [u8; 4]) -> (u64, u32) {
        let [a, b, c, d] = literals.map(|literal| self.code.words[usize::from(literal)]);
        let bits = |word: u32| u64::from(word & 0xFFFF);
        let (ab, ab_count) = (bits(a) | (bits(b) << (a >> 16)), (a >> 16) + (b >> 16));
        let (cd, cd_count) = (bits(c) | (bits(d) << (c >> 16)), (c >> 16) + (d >> 16));
        (ab | (cd << ab_count), ab_count + cd_count)
    }

    fn write_symbol(&mut self, symbol: usize) {
        self.write_paper();
        let word = self.code.words[symbol];
        self.push(u64::from(word & 0xFFFF), word >> 16);
    }

    /// Encodes the pending paper: repeats of the byte before, then single bytes, which are zero
    /// bits.
    #[inline]
    fn write_paper(&mut self) {
        let mut paper = std::mem::take(&mut self.paper);
        if paper > REPEAT_LENGTH {
            self.push(0, 1);
            paper -= 1;
            while paper >= REPEAT_LENGTH {
                self.write_symbol(LONGEST_REPEAT);
                // The distance code, a zero bit.
                self.push(0, 1);
                paper -= REPEAT_LENGTH;
            }
        }
        while paper > 0 {
            let count = paper.min(MAX_PUSH as usize);
            self.push(0, count as u32);
            paper -= count;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.reserve((self.paper + REPEAT_LENGTH) / 8 + 16);
        self.write_symbol(END_OF_BLOCK);
        // Fill the last byte.
        self.push(0, 7);
        self.out.truncate(self.length);
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_complete() {
        for paper in 0..=255 {
            let lengths = Code::new(paper).lengths;
            let used = lengths.iter().filter(|length| **length > 0);
            let sum: f64 = used.map(|length| 0.5_f64.powi(i32::from(*length))).sum();
            assert_eq!(sum, 1.0, "paper {paper}");
        }
    }

    #[test]
    fn other_decoders_read_every_value_and_run() {
        let mut seed = 1_u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12345);
            (seed >> 16) as u8
        };
        for (width, height) in [(1, 1), (1, 300), (7, 3), (256, 2), (595, 842), (1000, 40)] {
            let noise: Vec<u8> = (0..width * height).map(|_| random()).collect();
            let steps: Vec<u8> = (0..width * height).map(|place| (place / 300) as u8).collect();
            for pixels in [noise, steps, vec![255; width * height], vec![0; width * height]] {
                let png = encode(pixels.chunks(width), width as u32, height as u32);
                let decoded = image::load_from_memory(&png).unwrap().to_luma8();
                assert_eq!(decoded.dimensions(), (width as u32, height as u32));
                assert!(decoded.into_raw() == pixels, "{width}×{height}");
            }
        }
    }
}
