using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations.Caches;

/// <summary>
/// Begins a run from a cache that the reference implementation's collector made: <c>tokens/</c> from its ids, and <c>activations/&lt;layer&gt;/</c> that is read in place, so that nothing large is copied. The seals
/// of its files stand in the manifest: a cache that has changed is refused.
/// </summary>
public static class CacheStage
{
    public const string Name = "activations";

    /// <summary>The cache's layer, widths and rows, found by its small files.</summary>
    public static (int Layer, int[] Widths, long Rows) Look(CacheSettings settings)
    {
        CachePair pair = CachePair.Open(settings.BaseCache, settings.ChatCache);
        _ = pair.Ranges();
        Array.ForEach(pair.Models, m => _ = m.Statistics());
        return (LayerOf(settings, pair), pair.Widths, pair.Rows);
    }

    /// <exception cref="DiffractException">The caches do not belong together, are damaged or being written, or the models are not theirs.</exception>
    public static void Run(StageContext context, CacheSettings settings)
    {
        Stopwatch clock = Stopwatch.StartNew();
        CachePair pair = CachePair.Open(settings.BaseCache, settings.ChatCache);
        CacheStamps stamps = new(pair);
        int layer = LayerOf(settings, pair);
        if (pair.Chat.TokensPath is null)
        {
            throw new DiffractException(
                $"{pair.Chat.Root} was collected without its tokens: nothing says which rows are of one document, so that no split is sound, nor whether both models read the same; collect it with --store-tokens (`activations --cache … --out` converts it as it is)");
        }

        CacheModels models = CacheModels.Of(settings, pair, layer);
        CacheTokens tokens = new(context, settings, pair, models);
        RunFolder run = context.Run;
        string folder = run.Activations(layer);
        long bytes = pair.Models.Sum(m => m.Shards.Sum(s => s.Bytes));
        context.Progress.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"activations: {pair.Rows:N0} rows at layer {layer}, widths {string.Join(" + ", pair.Widths)}, {TypesOf(pair)}, {HarvestNeeds.Size(bytes)} in {pair.Models.Sum(m => m.Shards.Count)} shards, read in place"));

        RunningMoments[]? moments = null;
        Dictionary<string, FileSeal>? seals = CacheSource.Known(context.Fresh ? null : StageManifest.TryLoad(folder), pair);
        if (seals is null)
        {
            (seals, moments) = CacheScan.Read(pair, context.Progress, context.Stop);
        }

        StageManifest ofTokens = new() { Stage = Name, Settings = tokens.Settings() };
        if (!context.AlreadyDone(run.Tokens, ofTokens))
        {
            Dictionary<string, FileSeal> outputs = tokens.Write(run.Tokens);
            stamps.Require();
            context.Finish(run.Tokens, ofTokens with { Outputs = outputs, Facts = tokens.Facts(), Seconds = clock.Elapsed.TotalSeconds });
            tokens.Tell();
        }

        StageManifest plan = new()
        {
            Stage = Name,
            Settings = new JsonObject { ["layer"] = layer, ["storage"] = TypesOf(pair), ["widths"] = ActivationStore.Numbers(pair.Widths), [CacheSource.Key] = CacheSource.Describe(pair, seals) },
            Inputs = { [run.Relative(run.Tokens)] = StageManifest.TryLoad(run.Tokens)!.Fingerprint() },
        };
        if (context.AlreadyDone(folder, plan))
        {
            Repoint(folder, pair);
            context.Progress.Done(Name, $"activations of layer {layer} are there already");
            return;
        }

        moments ??= CacheScan.Read(pair, context.Progress, context.Stop).Moments;
        bool stored = pair.Models.All(m => m.Statistics() is not null);
        (double[] Mean_D, double[] Variance_D)[] statistics = [.. pair.Models.Select((m, i) => m.Statistics() ?? (moments[i].Mean, moments[i].Variance()))];
        FileSeal written = StatisticsFile.Save(folder, pair.Rows, [.. statistics.SelectMany(s => s.Mean_D)], [.. statistics.SelectMany(s => s.Variance_D)], pair.Widths);
        stamps.Require();
        JsonObject facts = new()
        {
            ["rows"] = pair.Rows,
            ["e"] = pair.Widths.Sum(),
            ["shards"] = pair.Models.Max(m => m.Shards.Count),
            ["statistics"] = stored ? "as stored" : "counted from the rows",
            [CacheSource.Key] = CacheSource.Places(pair),
        };
        if (models.Level == ModelsKnown.Both)
        {
            using TokenStore made = TokenStore.Open(run);
            facts["modelsExplain"] = new JsonArray([.. CacheCheck.Run(context, made, pair, layer).Select(v => (JsonNode)v)]);
        }

        context.Finish(folder, plan with { Outputs = new Dictionary<string, FileSeal> { [ActivationStore.StatisticsFile] = written }, Facts = facts, Seconds = clock.Elapsed.TotalSeconds });
        context.Progress.Done(Name, string.Create(CultureInfo.InvariantCulture, $"{pair.Rows:N0} rows of both models at layer {layer}; next: diffract train {run.Root}"));
    }

    /// <summary>A cache that was moved is the same one: where it lies decides nothing.</summary>
    static void Repoint(string folder, CachePair pair)
    {
        StageManifest made = StageManifest.TryLoad(folder)!;
        JsonObject places = CacheSource.Places(pair);
        if (!JsonNode.DeepEquals(made.Facts[CacheSource.Key], places))
        {
            made.Facts[CacheSource.Key] = places;
            made.Save(folder);
        }
    }

    static int LayerOf(CacheSettings settings, CachePair pair) => (settings.Layer, pair.Layer) switch
    {
        ({ } given, { } named) when given != named => throw DiffractException.Argument($"--layer {given} does not fit {pair.Chat.Root}, which is of layer {named}"),
        ({ } given, _) when given < 0 => throw DiffractException.Argument($"--layer {given} is out of range; wanted 0 or more"),
        (null, null) => throw DiffractException.Argument($"{pair.Chat.Root} is not called layer_<n>_out, so its layer is not known; give it with --layer"),
        ({ } given, _) => given,
        (null, { } named) => named,
    };

    static string TypesOf(CachePair pair) => string.Join(" + ", pair.Models.SelectMany(m => m.Shards).Select(s => s.Type.Name()).Distinct());
}
