using Diffract.Activations.Caches;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tests.Activations.Caches;

/// <summary>Writable copies of the caches that torch wrote.</summary>
static class CacheCopies
{
    public const string Layer = "layer_3_out";

    /// <summary>Both models' layer folders, with what lies beside them.</summary>
    public static (string Base, string Chat) Of(string kind, string target)
    {
        string source = GoldenFiles.Path("cache/" + kind);
        foreach (string file in Directory.GetFiles(source, "*", SearchOption.AllDirectories))
        {
            string copy = Path.Combine(target, Path.GetRelativePath(source, file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
            File.SetAttributes(copy, FileAttributes.Normal);
        }

        return (Path.Combine(target, "base", "split", Layer), Path.Combine(target, "chat", "split", Layer));
    }

    public static void Edit(string path, string from, string to)
    {
        string text = File.ReadAllText(path);
        Assert.Contains(from, text, StringComparison.Ordinal);
        File.WriteAllText(path, text.Replace(from, to, StringComparison.Ordinal));
    }

    public static string Refusal(string baseCache, string chatCache, string output)
    {
        string message = Assert.Throws<DiffractException>(() => LooseCache.Convert(baseCache, chatCache, output, new SilentProgress(), default)).Message;
        Assert.False(File.Exists(output));
        Assert.Empty(Directory.GetFiles(Path.GetDirectoryName(output)!, "*.part"));
        return message;
    }

    /// <summary>A list of integers as torch.save writes it.</summary>
    public static void SaveIds(string path, params long[] ids)
    {
        TorchWriter writer = new();
        writer.Add("x", ids, ids.Length);
        writer.SaveTensor(path);
    }

    public static long[] Ids(string path)
    {
        using TorchVector vector = TorchVector.Open(path);
        long[] ids = new long[vector.Length];
        vector.Read(0, ids);
        return ids;
    }
}
