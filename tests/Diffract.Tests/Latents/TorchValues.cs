using System.IO.Compression;
using System.Runtime.InteropServices;
using Diffract.Formats;

namespace Diffract.Tests.Latents;

/// <summary>The values of a torch file that holds one tensor.</summary>
static class TorchValues
{
    public static T[] Of<T>(string path, params long[] shape)
        where T : struct
    {
        using (TorchFile torch = new(path))
        {
            Assert.Equal(shape, Assert.IsType<TorchTensor>(torch.Root).Shape);
        }

        using ZipArchive zip = ZipFile.OpenRead(path);
        using Stream stream = zip.Entries.Single(e => e.FullName.EndsWith("/data/0", StringComparison.Ordinal)).Open();
        using MemoryStream bytes = new();
        stream.CopyTo(bytes);
        return MemoryMarshal.Cast<byte, T>(bytes.ToArray()).ToArray();
    }
}
