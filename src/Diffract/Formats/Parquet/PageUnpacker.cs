using System.IO.Compression;
using Snappier;
using ZstdSharp;

namespace Diffract.Formats.Parquet;

/// <summary>Unpacks pages. No more is allocated than a page's own bytes make likely, whatever its header says.</summary>
static class PageUnpacker
{
    // Snappy repeats at most 64 bytes by three.
    const int SnappyRatio = 22;

    /// <summary>The unpacked bytes.</summary>
    /// <exception cref="InvalidDataException">They are not as many as the header says, or the page is damaged.</exception>
    public static byte[] Unpack(ParquetCodec codec, ReadOnlySpan<byte> packed, int length)
    {
        try
        {
            return Whole(codec, packed, length);
        }
        catch (Exception e) when (e is ZstdException or IOException or InvalidOperationException or ArgumentException)
        {
            // Each library has its own.
            throw new InvalidDataException($"a page cannot be unpacked ({e.Message})", e);
        }
    }

    static byte[] Whole(ParquetCodec codec, ReadOnlySpan<byte> packed, int length)
    {
        switch (codec)
        {
            case ParquetCodec.None:
                return packed.Length == length ? packed.ToArray() : throw new InvalidDataException($"a page has {packed.Length} bytes, its header says {length}");
            case ParquetCodec.Snappy:
                if (length > 64 + (long)packed.Length * SnappyRatio || Snappy.GetUncompressedLength(packed) != length)
                {
                    throw Wrong(length);
                }

                byte[] made = GC.AllocateUninitializedArray<byte>(length);
                return Snappy.Decompress(packed, made) == length ? made : throw Wrong(length);
            case ParquetCodec.Gzip:
                return Through(new GZipStream(Memory(packed), CompressionMode.Decompress), length, packed.Length);
            case ParquetCodec.Zstd:
                return Through(new DecompressionStream(Memory(packed), leaveOpen: false), length, packed.Length);
            case ParquetCodec.Brotli:
                return Through(new BrotliStream(Memory(packed), CompressionMode.Decompress), length, packed.Length);
            default:
                throw new InvalidDataException($"its pages are packed with {codec}; wanted none, snappy, gzip, brotli or zstd");
        }
    }

    static MemoryStream Memory(ReadOnlySpan<byte> packed) => new(packed.ToArray(), writable: false);

    static byte[] Through(Stream stream, int length, int packed)
    {
        using (stream)
        {
            // Grows with what really comes where the header promises much.
            byte[] made = GC.AllocateUninitializedArray<byte>((int)Math.Min(length, (1 << 16) + (long)packed * 8));
            for (int at = 0; at < length;)
            {
                if (at == made.Length)
                {
                    Array.Resize(ref made, (int)Math.Min(length, made.Length * 2L));
                }

                int read = stream.Read(made.AsSpan(at));
                at += read > 0 ? read : throw Wrong(length);
            }

            Span<byte> more = stackalloc byte[1];
            return stream.Read(more) == 0 ? made : throw Wrong(length);
        }
    }

    static InvalidDataException Wrong(int length) => new($"a page does not unpack to the {length} bytes of its header");
}
