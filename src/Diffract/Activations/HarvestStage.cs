using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations;

/// <summary>
/// The harvest stage: both models over the tokens of the run, the residual after one block into <c>activations/&lt;layer&gt;/</c>. Each shard is written whole while the next is computed; called again, the
/// stage goes on with the first shard that is missing, and ends with the same bytes.
/// </summary>
public static class HarvestStage
{
    public static void Run(StageContext context, HarvestSettings settings)
    {
        if (settings.Storage is not (ElementType.BFloat16 or ElementType.Float32))
        {
            throw DiffractException.Argument($"--storage {settings.Storage} is unknown; wanted bf16 or f32");
        }

        using TokenStore tokens = TokenStore.Open(context.Run);
        tokens.RequireModels(context.Run);
        (string Name, string Folder)[] models = [("base", tokens.BaseModel), ("chat", tokens.ChatModel)];
        LlmConfig[] configs = [.. models.Select(m => LlmConfig.Load(m.Folder))];
        int blocks = configs.Min(c => c.Layers), layer = settings.Layer ?? blocks / 2;
        if (layer < 0 || layer >= blocks)
        {
            throw DiffractException.Argument($"--layer {layer} is out of range; wanted 0 to {blocks - 1}, the models have {blocks} blocks");
        }

        tokens.RequireCheckpoints(context.Run);
        List<ShardPlan> shards = ShardPlan.Of(tokens.Documents, settings.ShardTokens);
        int e = configs.Sum(c => c.Width);
        string folder = context.Run.Activations(layer);
        StageManifest plan = new()
        {
            Stage = "harvest",
            Settings = new JsonObject
            {
                ["layer"] = layer,
                ["storage"] = settings.Storage == ElementType.BFloat16 ? "bf16" : "f32",
                ["shardTokens"] = settings.ShardTokens,
                ["widths"] = ActivationStore.Numbers(configs.Select(c => c.Width)),
            },
            Inputs = { ["tokens"] = tokens.Manifest.Fingerprint() },
        };
        if (context.AlreadyDone(folder, plan))
        {
            context.Progress.Done("harvest", $"activations of layer {layer} are there already");
            return;
        }

        long there = shards.Select(s => new FileInfo(Path.Combine(folder, s.FileName))).Where(f => f.Exists).Sum(f => f.Length);
        int longest = Harvester.Longest(tokens), batch = Math.Max(settings.BatchTokens, longest);
        HarvestNeeds needs = HarvestNeeds.Of(
            [.. models.Select(m => m.Folder)], layer, shards.Max(s => s.Rows), tokens.Rows, there, batch, longest, settings.Storage, context.Memory);
        needs.Check(context.Run.Root, Free(context.Run.Root));
        Stopwatch clock = Stopwatch.StartNew();
        using Harvester harvester = new(context.Backend, tokens, models, layer, settings.BatchTokens, needs.Models.Together);
        Work work = new(context, settings, folder, shards, e, harvester, needs);
        work.Announce(layer, configs, tokens);
        work.Run(tokens.Rows);
        work.Statistics([.. configs.Select(c => c.Width)]);
        double rate = work.Computed / clock.Elapsed.TotalSeconds;
        JsonObject facts = new() { ["rows"] = tokens.Rows, ["e"] = e, ["shards"] = shards.Count, ["computedTokens"] = work.Computed, ["tokensPerSecond"] = rate };
        context.Finish(folder, plan with { Outputs = work.Outputs, Facts = facts, Seconds = clock.Elapsed.TotalSeconds });
        context.Progress.Done("harvest", string.Create(CultureInfo.InvariantCulture, $"{tokens.Rows:N0} tokens of {models.Length} models at layer {layer}, {rate:N0} tokens/s"));
    }

    static long Free(string folder) => new DriveInfo(folder).AvailableFreeSpace;

    /// <summary>Computes the missing shards, each written while the next is computed.</summary>
    sealed class Work(StageContext context, HarvestSettings settings, string folder, List<ShardPlan> shards, int e, Harvester harvester, HarvestNeeds needs)
    {
        readonly RunningMoments _all = new(e);
        readonly bool[] _there = FindShards(folder, shards, e, settings.Storage);

        public Dictionary<string, FileSeal> Outputs { get; } = [];

        /// <summary>Tokens computed now; the rest was there.</summary>
        public long Computed { get; private set; }

        public void Announce(int layer, LlmConfig[] configs, TokenStore tokens)
        {
            long left = shards.Where((_, i) => !_there[i]).Sum(s => (long)s.Rows);
            string time = "nothing left to compute";
            if (left > 0)
            {
                double rate = harvester.Probe(shards[Array.IndexOf(_there, false)].FirstDocument), seconds = left * ((double)tokens.Tokens / tokens.Rows) / rate;
                time = string.Create(CultureInfo.InvariantCulture, $"about {HarvestNeeds.Time(seconds)} at {rate:N0} tokens/s");
            }

            string there = left < tokens.Rows ? string.Create(CultureInfo.InvariantCulture, $" ({tokens.Rows - left:N0} are there already)") : "";
            context.Progress.Line(string.Create(
                CultureInfo.InvariantCulture,
                $"harvest: output of block {layer} of {configs[0].Layers}, {tokens.Rows:N0} tokens{there}{(tokens.Rows < tokens.Tokens ? $" of {tokens.Tokens:N0} read" : "")}, widths {string.Join(" + ", configs.Select(c => c.Width))}, {(settings.Storage == ElementType.BFloat16 ? "bf16" : "f32")}"));
            context.Progress.Line(
                $"harvest: {HarvestNeeds.Size(needs.Bytes)} on disk ({HarvestNeeds.Size(Free(folder))} free), {time}, {context.Backend.Description}");
            context.Progress.Line($"harvest: {needs.Models.Why} of memory{(needs.Buffers == 1 ? ", each shard written before the next is computed" : "")}");
        }

        public void Run(long tokens)
        {
            int most = shards.Max(s => s.Rows);
            HostBuffer[] buffers = [.. Enumerable.Range(0, needs.Buffers).Select(_ => new HostBuffer(settings.Storage, (long)most * e))];
            RunningMoments[] moments = [new(e), new(e)];
            Task writing = Task.CompletedTask;
            try
            {
                int turn = 0;
                foreach (ShardPlan shard in shards)
                {
                    string path = Path.Combine(folder, shard.FileName);
                    if (_there[shard.Number])
                    {
                        writing.GetAwaiter().GetResult();
                        Outputs[shard.FileName] = AtomicFile.Seal(path);
                        using ShardFile made = ShardFile.Open(path);
                        _all.Merge(made.Moments());
                        continue;
                    }

                    if (buffers.Length == 1)
                    {
                        writing.GetAwaiter().GetResult();
                    }

                    (HostBuffer rows_BE, RunningMoments moment) = (buffers[turn], moments[turn]);
                    turn = (turn + 1) % buffers.Length;
                    harvester.Fill(shard, rows_BE, moment, done => context.Progress.Report("harvest", shard.FirstRow + done, tokens, "tokens"), context.Stop);
                    Computed += shard.Rows;
                    writing.GetAwaiter().GetResult();
                    _all.Merge(moment);
                    writing = Task.Run(() => Outputs[shard.FileName] = ShardFile.Save(path, shard, rows_BE, e, moment));
                }
            }
            finally
            {
                // A shard that is being written is finished, whatever stopped the next one.
                writing.GetAwaiter().GetResult();
                Array.ForEach(buffers, b => b.Dispose());
            }
        }

        public void Statistics(int[] widths) => Outputs[ActivationStore.StatisticsFile] = StatisticsFile.Save(folder, _all, widths);

        static bool[] FindShards(string folder, List<ShardPlan> shards, int e, ElementType storage)
        {
            bool[] there = new bool[shards.Count];
            foreach (ShardPlan shard in shards)
            {
                using ShardFile? file = ShardFile.TryOpen(Path.Combine(folder, shard.FileName), shard, e, storage);
                there[shard.Number] = file is not null;
            }

            return there;
        }
    }
}
