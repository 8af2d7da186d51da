using System.Globalization;
using System.Runtime.InteropServices;
using Diffract.Runs;

namespace Diffract.Scaling;

/// <summary>The sums of finished blocks, kept while a scale stage is unfinished so that a stopped one goes on where it was.</summary>
static class BlockFile
{
    const string Folder = "blocks";

    /// <summary>Reads a block's sums; false when they are not there.</summary>
    public static bool TryRead(string folder, int block, Span<double> sums)
    {
        string path = PathOf(folder, block);
        Span<byte> bytes = MemoryMarshal.AsBytes(sums);
        if (!File.Exists(path) || new FileInfo(path).Length != bytes.Length)
        {
            return false;
        }

        using FileStream file = File.OpenRead(path);
        file.ReadExactly(bytes);
        return true;
    }

    public static void Write(string folder, int block, BetaSums sums)
        => AtomicFile.Write(PathOf(folder, block), stream => stream.Write(MemoryMarshal.AsBytes(sums.Block(block))));

    /// <summary>Removes them once the stage's own files are written.</summary>
    public static void Clear(string folder)
    {
        string blocks = Path.Combine(folder, Folder);
        if (Directory.Exists(blocks))
        {
            Directory.Delete(blocks, recursive: true);
        }
    }

    static string PathOf(string folder, int block) => Path.Combine(folder, Folder, block.ToString(CultureInfo.InvariantCulture) + ".bin");
}
