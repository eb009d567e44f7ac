//! A PNG encoder for gray text pages, several times faster than a general one.
//!
//! A page is mostly paper, and the difference of a pixel from its left neighbour is mostly zero.
//! So one fixed code serves every page: a zero takes one bit, any other difference nine or ten,
//! and long stretches of paper are repeats.

use simd_adler32::Adler32;

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n'];
/// Deflate with a 32 kB window, lowest compression level.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
/// PNG's filter that stores differences from the left neighbour.
const FILTER_LEFT: u8 = 1;

/// Symbol that ends a deflate block.
const END_OF_BLOCK: usize = 256;
/// Symbol of the longest repeat.
const LONGEST_REPEAT: usize = 285;
/// Bytes that [`LONGEST_REPEAT`] stands for.
const REPEAT_LENGTH: usize = 258;
/// Symbols of the literal and length alphabet.
const SYMBOLS: usize = 286;

/// Code length of each symbol. One literal and one length code besides those in use are ten bits
/// long, which makes the code complete: 1/2 + 254/512 + 4/1024 = 1.
const CODE_LENGTHS: [u8; SYMBOLS] = {
    let mut lengths = [0; SYMBOLS];
    lengths[0] = 1;
    let mut symbol = 1;
    while symbol < 256 {
        lengths[symbol] = 9;
        symbol += 1;
    }
    lengths[128] = 10;
    lengths[END_OF_BLOCK] = 10;
    lengths[LONGEST_REPEAT - 1] = 10;
    lengths[LONGEST_REPEAT] = 10;
    lengths
};

/// Code of each symbol, bits reversed as deflate writes them.
const CODES: [u16; SYMBOLS] = {
    let mut codes = [0; SYMBOLS];
    let (mut code, mut length) = (0_u16, 1);
    while length <= 10 {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if CODE_LENGTHS[symbol] == length {
                codes[symbol] = code.reverse_bits() >> (16 - length as u32);
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    codes
};

/// Code and length of each literal, in one word for a single look-up.
const LITERALS: [u32; 256] = {
    let mut literals = [0; 256];
    let mut value = 0;
    while value < 256 {
        literals[value] = (CODES[value] as u32) | ((CODE_LENGTHS[value] as u32) << 16);
        value += 1;
    }
    literals
};

/// Encodes one byte a pixel, rows from the top.
pub(crate) fn encode(pixels: &[u8], width_px: u32, height_px: u32) -> Vec<u8> {
    let width = width_px as usize;
    // Ten bits for every byte of every row would be the most; a text page takes four or five.
    let mut png = Vec::with_capacity(pixels.len() / 8 * 5 + 1024);
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
        let mut bits = BitWriter { out: std::mem::take(out), buffer: 0, count: 0, zeros: 0 };
        bits.write_block_header();
        let mut row = vec![0; width + 1];
        row[0] = FILTER_LEFT;
        for source in pixels.chunks_exact(width.max(1)) {
            row[1] = source[0];
            for (difference, pair) in row[2..].iter_mut().zip(source.windows(2)) {
                *difference = pair[1].wrapping_sub(pair[0]);
            }
            checksum.write(&row);
            bits.write_bytes(&row);
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
    out: Vec<u8>,
    /// Bits that are not written yet, the next one lowest.
    buffer: u64,
    /// How many; below 8 after [`BitWriter::flush`].
    count: u32,
    /// Zero bytes that are not encoded yet.
    zeros: usize,
}

impl BitWriter {
    /// Adds up to 56 bits.
    #[inline]
    fn push(&mut self, bits: u64, count: u32) {
        self.buffer |= bits << self.count;
        self.count += count;
        self.flush();
    }

    /// Writes whole bytes out.
    #[inline]
    fn flush(&mut self) {
        let bytes = (self.count / 8) as usize;
        // Writing eight bytes and taking some back is faster than writing the right number.
        let length = self.out.len();
        self.out.extend_from_slice(&self.buffer.to_le_bytes());
        self.out.truncate(length + bytes);
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
        self.push(IS_LAST | (OWN_CODES << 1), 3);
        self.push(SYMBOLS as u64 - 257, 5);
        // One distance code: the byte before.
        self.push(0, 5);
        self.push(ORDER.len() as u64 - 4, 4);
        for length in ORDER {
            self.push(if LENGTHS_IN_USE.contains(&length) { 2 } else { 0 }, 3);
        }
        let distance_code_length = 1;
        for length in CODE_LENGTHS.into_iter().chain([distance_code_length]) {
            let place = LENGTHS_IN_USE.iter().position(|used| *used == length).unwrap_or(0) as u8;
            self.push(u64::from(place.reverse_bits() >> 6), 2);
        }
    }

    /// Encodes bytes; zeros at the end stay pending.
    fn write_bytes(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            if u64::from_le_bytes(*chunk) == 0 {
                self.zeros += 8;
                continue;
            }
            self.write_zeros();
            let [a, b, c, d, e, f, g, h] = *chunk;
            self.write_four([a, b, c, d]);
            self.write_four([e, f, g, h]);
        }
        for byte in rest {
            if *byte == 0 {
                self.zeros += 1;
            } else {
                self.write_zeros();
                self.write_symbol(usize::from(*byte));
            }
        }
    }

    /// Encodes four literals of up to ten bits each.
    #[inline]
    fn write_four(&mut self, literals: [u8; 4]) {
        let (mut bits, mut count) = (0_u64, 0);
        for literal in literals {
            let word = LITERALS[usize::from(literal)];
            bits |= u64::from(word & 0xFFFF) << count;
            count += word >> 16;
        }
        self.push(bits, count);
    }

    fn write_symbol(&mut self, symbol: usize) {
        self.push(u64::from(CODES[symbol]), u32::from(CODE_LENGTHS[symbol]));
    }

    /// Encodes the pending zeros: repeats of the byte before, then single ones, which are zero bits.
    fn write_zeros(&mut self) {
        let mut zeros = std::mem::take(&mut self.zeros);
        if zeros > REPEAT_LENGTH {
            self.push(0, 1);
            zeros -= 1;
            while zeros >= REPEAT_LENGTH {
                self.write_symbol(LONGEST_REPEAT);
                // The distance code, a zero bit.
                self.push(0, 1);
                zeros -= REPEAT_LENGTH;
            }
        }
        while zeros > 0 {
            let count = zeros.min(48);
            self.push(0, count as u32);
            zeros -= count;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.write_zeros();
        self.write_symbol(END_OF_BLOCK);
        // Fill the last byte.
        self.push(0, 7);
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_complete() {
        let used = CODE_LENGTHS.iter().filter(|length| **length > 0);
        let sum: f64 = used.map(|length| 0.5_f64.powi(i32::from(*length))).sum();
        assert_eq!(sum, 1.0);
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
                let png = encode(&pixels, width as u32, height as u32);
                let decoded = image::load_from_memory(&png).unwrap().to_luma8();
                assert_eq!(decoded.dimensions(), (width as u32, height as u32));
                assert!(decoded.into_raw() == pixels, "{width}×{height}");
            }
        }
    }
}
