using Diffract.Runs;

namespace Diffract.Activations.Caches;

/// <summary>Lengths and times of the files of a cache when it was opened: whoever has read it whole asks whether they are the same still.</summary>
sealed class CacheStamps
{
    readonly CachePair _pair;
    readonly Dictionary<string, (long Bytes, DateTime Written)> _files;

    public CacheStamps(CachePair pair) => (_pair, _files) = (pair, Take(pair));

    /// <summary>Refuses a cache of which a file has come, gone, grown or been written since.</summary>
    public void Require()
    {
        // Opened again, so that what is new beside the files that were read counts too.
        Dictionary<string, (long Bytes, DateTime Written)> now = Take(CachePair.Open(_pair.Base.Root, _pair.Chat.Root));
        if (now.Keys.Union(_files.Keys).FirstOrDefault(f => !now.TryGetValue(f, out var a) || !_files.TryGetValue(f, out var b) || a != b) is { } changed)
        {
            throw new DiffractException($"{changed} was written while it was read: wait until the collector is done, then call the same command again");
        }
    }

    static Dictionary<string, (long Bytes, DateTime Written)> Take(CachePair pair)
        => pair.Models.SelectMany(m => m.Files()).Distinct(StringComparer.Ordinal).ToDictionary(f => f, f => (CacheFolder.LengthOf(f), Written(f)), StringComparer.Ordinal);

    /// <summary>Also where the path is a symbolic link.</summary>
    internal static DateTime Written(string path) => (File.ResolveLinkTarget(path, returnFinalTarget: true) ?? new FileInfo(path)).LastWriteTimeUtc;
}
