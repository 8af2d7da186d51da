using System.Diagnostics;
using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Planted;

/// <summary>
/// The planted truth: a run whose tokens and activations are drawn from a known dictionary, in the form that <c>tokenize</c> and <c>harvest</c> write, so that the later verbs take it as any other run, and the
/// truth beside it in <c>planted/</c>.
/// </summary>
public static class PlantedStage
{
    /// <summary>The run's only layer.</summary>
    public const int Layer = 0;

    /// <summary>As manifests name it.</summary>
    public const string Name = "planted";

    const int ShardTokens = 1 << 16;
    const int BatchRows = 1024;

    /// <exception cref="DiffractException">Settings that do not fit, a folder with other contents, a disk too small.</exception>
    public static void Run(StageContext context, PlantedSettings settings)
    {
        Stopwatch clock = Stopwatch.StartNew();
        PlantedTruth dictionary = PlantedTruth.Of(settings);
        TokenDocument[] documents = PlantedDocuments.Of(settings);
        long tokens = documents[^1].Start + documents[^1].Length;
        RequireDisk(context.Run, settings, tokens);
        RunFolder run = context.Run;
        StageManifest ofTokens = new() { Stage = Name, Settings = TokenSettings(settings) };
        bool tokensThere = context.AlreadyDone(run.Tokens, ofTokens);
        context.Progress.Line(FormattableString.Invariant(
            $"planted: {settings.Latents} latents on two models of width {settings.Width}, {tokens:N0} tokens, {dictionary.Latents.Sum(l => l.Rate):F1} active a token, rates {settings.RateLow:P1} to {settings.RateHigh:P1}"));
        TrueCodes codes = new(dictionary, tokens, context.Stop);
        if (!tokensThere)
        {
            context.Finish(run.Tokens, ofTokens with { Outputs = PlantedDocuments.Write(run.Tokens, documents, codes), Facts = TokenFacts(documents), Seconds = clock.Elapsed.TotalSeconds });
        }

        string print = StageManifest.TryLoad(run.Tokens)!.Fingerprint();
        HarvestLike(context, settings, documents, codes, print, clock);
        StageManifest truth = new()
        {
            Stage = Name,
            Settings = settings.ToJson(),
            Inputs = { [run.Relative(run.Tokens)] = print, [run.Relative(run.Activations(Layer))] = StageManifest.TryLoad(run.Activations(Layer))!.Fingerprint() },
        };
        if (!context.AlreadyDone(run.Planted, truth))
        {
            (Dictionary<string, FileSeal> outputs, JsonObject facts) = TruthFolder.Write(run.Planted, dictionary, documents, codes, context.Stop);
            context.Finish(run.Planted, truth with { Outputs = outputs, Facts = facts, Seconds = clock.Elapsed.TotalSeconds });
        }

        string classes = string.Join(", ", TruthClasses.All.Select(c => $"{dictionary.Latents.Count(l => l.Class == c)} {TruthClasses.Name(c)}"));
        context.Progress.Done("planted", $"{classes}; next: diffract train {run.Root}");
    }

    /// <summary>What `harvest` would have written.</summary>
    static void HarvestLike(StageContext context, PlantedSettings settings, TokenDocument[] documents, TrueCodes codes, string tokens, Stopwatch clock)
    {
        RunFolder run = context.Run;
        int e = 2 * settings.Width;
        string folder = run.Activations(Layer);
        StageManifest plan = new()
        {
            Stage = Name,
            Settings = new JsonObject
            {
                ["layer"] = Layer,
                ["storage"] = settings.ToJson()["storage"]!.DeepClone(),
                ["shardTokens"] = ShardTokens,
                ["widths"] = ActivationStore.Numbers([settings.Width, settings.Width]),
                ["planted"] = settings.ToJson(),
            },
            Inputs = { [run.Relative(run.Tokens)] = tokens },
        };
        if (context.AlreadyDone(folder, plan))
        {
            return;
        }

        List<ShardPlan> shards = ShardPlan.Of(documents, ShardTokens);
        Dictionary<string, FileSeal> outputs = [];
        RunningMoments all = new(e), moments = new(e);
        using ShardRows rows_BE = new(settings.Storage, [settings.Width, settings.Width], shards.Max(s => s.Rows));
        float[] batch_BE = new float[BatchRows * e];
        foreach (ShardPlan shard in shards)
        {
            moments.Clear();
            for (int first = 0; first < shard.Rows; first += BatchRows)
            {
                context.Stop.ThrowIfCancellationRequested();
                int rows = Math.Min(BatchRows, shard.Rows - first);
                long token = shard.FirstRow + first;
                Parallel.For(0, rows, r => codes.Activations(token + r, batch_BE.AsSpan(r * e, e)));
                for (int r = 0; r < rows; r++)
                {
                    for (int m = 0; m < 2; m++)
                    {
                        Span<float> values = batch_BE.AsSpan((r * e) + (m * settings.Width), settings.Width);
                        rows_BE.Begin(first + r, m, values);
                        rows_BE.Round(first + r, m, m * settings.Width, values, moments.Lost.AsSpan(m * settings.Width, settings.Width));
                    }

                    moments.Add(batch_BE.AsSpan(r * e, e), 0, first + r + 1);
                }

                moments.Advance(rows);
                context.Progress.Report("planted", token + rows, codes.Tokens, "tokens");
            }

            all.Merge(moments);
            outputs[shard.FileName] = ShardFile.Save(Path.Combine(folder, shard.FileName), shard, rows_BE, moments);
        }

        outputs[ActivationStore.StatisticsFile] = StatisticsFile.Save(folder, all, [settings.Width, settings.Width]);
        context.Finish(folder, plan with { Outputs = outputs, Facts = new JsonObject { ["rows"] = codes.Tokens, ["e"] = e, ["shards"] = shards.Count }, Seconds = clock.Elapsed.TotalSeconds });
    }

    static void RequireDisk(RunFolder run, PlantedSettings settings, long tokens)
    {
        double bytes = tokens * (settings.Storage.RowBytes([settings.Width, settings.Width]) + 40 + (16 * settings.Latents * settings.RateMedian)), free = new DriveInfo(run.Root).AvailableFreeSpace;
        if (bytes > free)
        {
            throw new DiffractException(FormattableString.Invariant($"the planted run takes about {bytes / 1e6:F0} MB, {run.Root} has {free / 1e6:F0} MB free; free some space, or lower --tokens or --width"));
        }
    }

    // What a token store reads of its models; the names say that there are none.
    static JsonObject TokenSettings(PlantedSettings settings) => new()
    {
        ["base"] = new JsonObject { ["folder"] = "planted base", ["checkpoint"] = Name },
        ["chat"] = new JsonObject { ["folder"] = "planted chat", ["checkpoint"] = Name },
        ["context"] = PlantedDocuments.Longest,
        ["seed"] = settings.Seed,
        ["shares"] = new JsonObject { ["train"] = PlantedDocuments.TrainShare, ["scaling"] = PlantedDocuments.ScalingShare, ["heldOut"] = 1 - PlantedDocuments.TrainShare - PlantedDocuments.ScalingShare },
        ["planted"] = settings.ToJson(),
    };

    static JsonObject TokenFacts(TokenDocument[] documents)
    {
        long Of(Split split) => documents.Where(d => d.Split == split).Sum(d => (long)d.Length);
        return new JsonObject
        {
            ["tokens"] = documents.Sum(d => (long)d.Length),
            ["documents"] = documents.Count(d => d.Source == TextSource.Document),
            ["chats"] = documents.Count(d => d.Source == TextSource.Chat),
            ["splitTokens"] = new JsonObject { ["train"] = Of(Split.Train), ["scaling"] = Of(Split.Scaling), ["heldOut"] = Of(Split.HeldOut) },
        };
    }
}
