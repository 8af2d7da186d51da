using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Activations.Caches;

/// <summary>
/// A cache of one model's activations at one layer, as the reference implementation's collector leaves it (spec 1.7): <c>config.json</c>, <c>shard_i.memmap</c> with <c>shard_i.meta</c>, and what lies beside them.
/// Opening reads the small files and the lengths of the large ones, and refuses what does not fit together.
/// </summary>
sealed partial class CacheFolder
{
    public const string ConfigFile = "config.json", TokensFile = "tokens.pt", RangesFile = "sequence_ranges.pt", MeanFile = "mean.pt", DeviationFile = "std.pt";
    const int MostShards = 1 << 20;

    CacheFolder(string folder)
    {
        Root = Path.GetFullPath(folder);
        if (!Directory.Exists(folder))
        {
            throw DiffractException.Argument($"{folder} is not a folder; wanted a cache's layer_<n>_out with config.json and shard_0.memmap");
        }

        string config = Path.Combine(Root, ConfigFile);
        if (!File.Exists(config))
        {
            throw new DiffractException($"{folder} has no config.json, which a collector writes last: not a cache (wanted its layer_<n>_out), or one that is still being written");
        }

        using (JsonDocument document = JsonFile.ReadObject(config, "the configuration of a cache of activations"))
        {
            JsonElement root = document.RootElement;
            Width = (int)Number(config, root, "d_model", 1, 1 << 20);
            Rows = Number(config, root, "total_size", 1, 1L << 40);
            Count = (int)Number(config, root, "shard_count", 1, MostShards);
            Context = root.TryGetProperty("context_len", out JsonElement length) && length.ValueKind == JsonValueKind.Number && length.TryGetInt32(out int context) && context > 0 ? context : null;
            Shuffled = root.TryGetProperty("shuffle_shards", out JsonElement shuffled) && shuffled.ValueKind == JsonValueKind.True;
        }

        Shards = ReadShards();
        TokensPath = Find(TokensFile);
        RangesPath = Find(RangesFile);
    }

    /// <summary>Absolute path.</summary>
    public string Root { get; }

    /// <summary>The n of <c>layer_n_out</c>; null where the folder is called otherwise.</summary>
    public int? Layer => LayerName().Match(Path.GetFileName(Root)) is { Success: true } m && int.TryParse(m.Groups[1].Value, NumberStyles.None, CultureInfo.InvariantCulture, out int layer) ? layer : null;

    public int Width { get; }

    /// <summary>Rows of all shards.</summary>
    public long Rows { get; }

    /// <summary>Tokens after which the collector cut documents; null where it does not say.</summary>
    public int? Context { get; }

    /// <summary>The rows of each shard are in an order of their own.</summary>
    public bool Shuffled { get; }

    public IReadOnlyList<CacheShard> Shards { get; }

    /// <summary>In the folder, else beside it; null where no tokens were stored.</summary>
    public string? TokensPath { get; }

    /// <summary>In the folder, else beside it; null where it was not stored.</summary>
    public string? RangesPath { get; }

    int Count { get; }

    public static CacheFolder Open(string folder) => new(folder);

    public static string LayerFolder(int layer) => string.Create(CultureInfo.InvariantCulture, $"layer_{layer}_out");

    public static string ShardName(int shard) => string.Create(CultureInfo.InvariantCulture, $"shard_{shard}.memmap");

    public static string MetaName(int shard) => string.Create(CultureInfo.InvariantCulture, $"shard_{shard}.meta");

    /// <summary>Every file that decides what a run makes of the cache, small ones first.</summary>
    public IEnumerable<string> Files()
    {
        yield return Path.Combine(Root, ConfigFile);
        foreach (string path in ((string?[])[TokensPath, RangesPath, Existing(MeanFile), Existing(DeviationFile)]).OfType<string>())
        {
            yield return path;
        }

        for (int i = 0; i < Shards.Count; i++)
        {
            yield return Path.Combine(Root, MetaName(i));
        }

        foreach (CacheShard shard in Shards)
        {
            yield return shard.Path;
        }
    }

    /// <summary>The token ids, in the order of the rows; null where none are stored.</summary>
    /// <exception cref="DiffractException">Not a list of integers, or not one for each row.</exception>
    public TorchVector? OpenTokens()
    {
        if (TokensPath is null)
        {
            return null;
        }

        TorchVector tokens = TorchVector.Open(TokensPath);
        if (tokens.Length != Rows || !tokens.IsInteger)
        {
            tokens.Dispose();
            throw new DiffractException($"{TokensPath} holds {tokens.Length} values of {tokens.Type}, wanted an integer for each of the {Rows} rows of {Root}: not of this cache, or still being written");
        }

        return tokens;
    }

    /// <summary>Mean and variance of each column as the collector counted them, before rounding; null where it stored none.</summary>
    public (double[] Mean_D, double[] Variance_D)? Statistics()
    {
        if (Existing(MeanFile) is not { } meanPath || Existing(DeviationFile) is not { } deviationPath)
        {
            return null;
        }

        using TorchVector mean = TorchVector.Open(meanPath), deviation = TorchVector.Open(deviationPath);
        foreach (TorchVector read in (TorchVector[])[mean, deviation])
        {
            if (read.Length != Width || read.IsInteger)
            {
                throw new DiffractException($"{read.FilePath} holds {read.Length} values of {read.Type}, wanted a number for each of the {Width} columns");
            }
        }

        // The square root of a square is the number itself, so that the deviations can be written again to the bit.
        double[] mean_D = mean.Doubles(), deviation_D = deviation.Doubles();
        int bad = Array.FindIndex(mean_D, v => !double.IsFinite(v)), off = Array.FindIndex(deviation_D, v => !(v >= 0 && double.IsFinite(v)));
        return bad < 0 && off < 0
            ? (mean_D, Array.ConvertAll(deviation_D, s => s * s))
            : throw new DiffractException($"{(bad >= 0 ? meanPath : deviationPath)} holds {(bad >= 0 ? mean_D[bad] : deviation_D[off])} for column {(bad >= 0 ? bad : off)}, wanted finite numbers{(bad >= 0 ? "" : " that are not negative")}; remove both files and the statistics are counted from the rows");
    }

    string? Existing(string name) => Path.Combine(Root, name) is var path && File.Exists(path) ? path : null;

    /// <summary>A file that collectors of different ages put into the folder or beside it.</summary>
    string? Find(string name) => Existing(name) ?? (Path.GetDirectoryName(Root) is { } parent && Path.Combine(parent, name) is var beside && File.Exists(beside) ? beside : null);

    List<CacheShard> ReadShards()
    {
        List<CacheShard> shards = [];
        long row = 0;
        for (int i = 0; i < Count; i++)
        {
            CacheShard shard = ReadShard(i, row);
            shards.Add(shard);
            row += shard.Rows;
            if (row > Rows)
            {
                break;
            }
        }

        if (row != Rows || shards.Count != Count)
        {
            throw new DiffractException($"{Root}: its {shards.Count} shards hold {row} rows, config.json says total_size {Rows} in {Count}: shards and configuration are of different collections, or it is still being written");
        }

        string next = Path.Combine(Root, ShardName(Count));
        return !File.Exists(next) ? shards : throw new DiffractException($"{next} lies beyond the {Count} shards that config.json counts: left from another collection, or still being written");
    }

    CacheShard ReadShard(int number, long firstRow)
    {
        string meta = Path.Combine(Root, MetaName(number)), path = Path.Combine(Root, ShardName(number));
        if (!File.Exists(meta) || !File.Exists(path))
        {
            throw new DiffractException($"{(File.Exists(meta) ? path : meta)} is missing, config.json counts {Count} shards: copy it too, or wait until the collector has written it");
        }

        using JsonDocument document = JsonFile.ReadObject(meta, "the shape and type of a shard");
        JsonElement root = document.RootElement;
        if (!root.TryGetProperty("shape", out JsonElement shape) || shape.ValueKind != JsonValueKind.Array || shape.GetArrayLength() != 2
            || !IsCount(shape[0], out int rows) || !IsCount(shape[1], out int width))
        {
            throw new DiffractException($"{meta} has no shape [rows, width] of positive numbers");
        }

        string name = !root.TryGetProperty("dtype", out JsonElement type) ? "torch.float32" : type.ValueKind == JsonValueKind.String ? type.GetString()! : type.GetRawText();
        if (CacheTypes.Find(name) is not { } element)
        {
            throw new DiffractException($"{meta} has the dtype {Short(name)}, wanted torch.float32, torch.bfloat16 or torch.float16");
        }

        if (width != Width)
        {
            throw new DiffractException($"{meta} has rows of width {width}, config.json says d_model {Width}: shards and configuration are of different collections");
        }

        CacheShard shard = new(path, firstRow, rows, width, element);
        long bytes = LengthOf(path);
        return bytes == shard.Bytes
            ? shard
            : throw new DiffractException($"{path} has {bytes} bytes, {rows} rows of {width} {name} take {shard.Bytes}: {(bytes < shard.Bytes ? "truncated, or still being written" : "of another shape than its .meta says")}");
    }

    internal static long LengthOf(string path)
    {
        try
        {
            return CheckpointFiles.Length(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"cannot read {path}: {e.Message}", inner: e);
        }
    }

    static bool IsCount(JsonElement value, out int count)
    {
        count = 0;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out count) && count > 0;
    }

    static long Number(string path, JsonElement root, string name, long least, long most)
        => !root.TryGetProperty(name, out JsonElement value) ? throw new DiffractException($"{path} has no {name}; wanted the configuration of a cache of activations")
            : value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= least && number <= most ? number
            : throw new DiffractException($"{path} has {name} {Short(value.GetRawText())}, wanted a whole number from {least} to {most}");

    static string Short(string text) => text.Length <= 40 ? text : text[..40] + "…";

    [GeneratedRegex("^layer_([0-9]{1,4})_out$")]
    private static partial Regex LayerName();
}
