using System.IO.Compression;

namespace Diffract.Tests.Formats;

/// <summary>Zip archives put together by hand, as torch would not write them.</summary>
static class TorchBytes
{
    /// <summary>Stored records with right checksums.</summary>
    public static byte[] Zip(params ReadOnlySpan<(string Name, byte[] Bytes)> records)
    {
        using MemoryStream stream = new();
        using (ZipArchive zip = new(stream, ZipArchiveMode.Create))
        {
            foreach ((string name, byte[] bytes) in records)
            {
                using Stream entry = zip.CreateEntry(name, CompressionLevel.NoCompression).Open();
                entry.Write(bytes);
            }
        }

        return stream.ToArray();
    }
}
