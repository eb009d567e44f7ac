"""PNG files that no honest program writes."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def header(width_px, height_px):
    """IHDR of an RGB picture."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0))


def compressed_zeros(n_bytes):
    """So many zeros as zlib writes them, a thousandth in size; the same block over and over."""
    block_bytes = 1 << 20
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = compressor.compress(bytes(block_bytes)) + compressor.flush(zlib.Z_FULL_FLUSH)
    n_blocks, n_rest = divmod(n_bytes, block_bytes)
    rest = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    end = rest.compress(bytes(n_rest)) + rest.flush()
    # Adler-32 of zeros: one sum stays 1, the other counts them.
    checksum = struct.pack(">HH", n_bytes % 65521, 1)
    return b"\x78\xda" + block * n_blocks + end + checksum


def png(width_px, height_px, data, extra=b""):
    """A file of these sizes with this compressed data, whatever that holds."""
    chunks = [header(width_px, height_px), extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def black(width_px, height_px):
    """A true picture: every line is a filter byte and black pixels."""
    return png(width_px, height_px, compressed_zeros(height_px * (1 + 3 * width_px)))
