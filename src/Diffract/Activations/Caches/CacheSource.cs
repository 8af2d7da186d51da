using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Runs;

namespace Diffract.Activations.Caches;

/// <summary>The caches that a run's activations are read from in place: which files they are, by seal, and whether they are those still.</summary>
static class CacheSource
{
    const long CheckedBytes = 4L << 30;

    /// <summary>Where a manifest's settings hold the seals of the files, and its facts folders and times.</summary>
    public const string Key = "cache";

    static readonly string[] Roles = ["base", "chat"];

    /// <summary>What decides the activations: for each model the seals of its files, by path from its folder.</summary>
    public static JsonObject Describe(CachePair pair, IReadOnlyDictionary<string, FileSeal> seals)
        => new([.. pair.Models.Select((m, i) => KeyValuePair.Create(Roles[i], (JsonNode?)new JsonObject([.. m.Files().Select(f => KeyValuePair.Create(Relative(m, f), (JsonNode?)new JsonObject { ["bytes"] = seals[f].Bytes, ["xxh128"] = seals[f].Xxh128 }))])))]);

    /// <summary>Where the files lie, and when each was last written.</summary>
    public static JsonObject Places(CachePair pair)
        => new([.. pair.Models.Select((m, i) => KeyValuePair.Create(Roles[i], (JsonNode?)new JsonObject
        {
            ["folder"] = m.Root,
            ["written"] = new JsonObject([.. m.Files().Select(f => KeyValuePair.Create(Relative(m, f), (JsonNode?)Stamp(f)))]),
        }))]);

    /// <summary>The seals that a finished store's manifest holds, where lengths and times of all files are those that it knew; else null.</summary>
    public static Dictionary<string, FileSeal>? Known(StageManifest? manifest, CachePair pair)
    {
        Dictionary<string, FileSeal> seals = new(StringComparer.Ordinal);
        for (int m = 0; m < pair.Models.Length; m++)
        {
            CacheFolder model = pair.Models[m];
            if (manifest?.Settings[Key]?[Roles[m]] is not JsonObject files || manifest.Facts[Key]?[Roles[m]]?["written"] is not JsonObject written)
            {
                return null;
            }

            foreach (string file in model.Files())
            {
                string name = Relative(model, file);
                if (SealOf(files[name]) is not { } seal || (string?)written[name] != Stamp(file) || CacheFolder.LengthOf(file) != seal.Bytes)
                {
                    return null;
                }

                seals[file] = seal;
            }
        }

        return seals;
    }

    /// <summary>The caches behind a manifest. Checksums of small ones are computed again; of larger ones those of files whose time has changed.</summary>
    /// <param name="name">Of the store, for messages.</param>
    /// <param name="manifest">Its manifest.</param>
    /// <param name="makeIt">The command that makes it anew.</param>
    /// <exception cref="DiffractException">A cache is gone, or is not what it was.</exception>
    public static CachePair Open(string name, StageManifest manifest, string makeIt)
    {
        string[] folders = [.. Roles.Select(r => (string?)manifest.Facts[Key]?[r]?["folder"] ?? throw new DiffractException($"{name} does not say where its cache lies; run `{makeIt} --fresh`"))];
        CachePair pair;
        try
        {
            pair = CachePair.Open(folders[0], folders[1]);
        }
        catch (DiffractException e)
        {
            throw new DiffractException($"{name} is read from a cache that is not what it was: {e.Message}; put it back, or run `{makeIt} --fresh`", inner: e);
        }

        bool small = pair.Models.Sum(m => m.Shards.Sum(s => s.Bytes)) <= CheckedBytes;
        for (int m = 0; m < pair.Models.Length; m++)
        {
            JsonObject seals = manifest.Settings[Key]?[Roles[m]] as JsonObject ?? [];
            JsonObject written = manifest.Facts[Key]?[Roles[m]]?["written"] as JsonObject ?? [];
            string[] files = [.. pair.Models[m].Files()];
            foreach (string file in files)
            {
                string path = Relative(pair.Models[m], file);
                FileSeal? made = SealOf(seals[path]);
                bool same = made is not null && CacheFolder.LengthOf(file) == made.Bytes && ((!small && (string?)written[path] == Stamp(file)) || AtomicFile.Seal(file) == made);
                if (!same)
                {
                    throw Stale(file, made is null ? "is new" : "has changed");
                }
            }

            if (seals.Count != files.Length)
            {
                string gone = seals.Select(s => s.Key).Except(files.Select(f => Relative(pair.Models[m], f))).First();
                throw Stale(Path.Combine(pair.Models[m].Root, gone), "is gone");
            }
        }

        return pair;

        DiffractException Stale(string file, string what) => new($"{name} is stale: {file} {what} since; put the old one back, or run `{makeIt} --fresh`");
    }

    static FileSeal? SealOf(JsonNode? node) => node is JsonObject o && (long?)o["bytes"] is { } bytes && (string?)o["xxh128"] is { } hash ? new FileSeal(bytes, hash) : null;

    static string Relative(CacheFolder model, string file) => Path.GetRelativePath(model.Root, file).Replace('\\', '/');

    static string Stamp(string file) => CacheStamps.Written(file).Ticks.ToString(CultureInfo.InvariantCulture);
}
