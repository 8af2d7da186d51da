using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Activations;
using Diffract.Cpu;
using Diffract.Evidence;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tokens;
using Diffract.Training;

namespace Diffract.Tests.Reports;

/// <summary>A run folder with real tokens and activations of the embedded pair, and tables made by hand, so that each number of the report is known.</summary>
sealed class SmallRun : IDisposable
{
    public const int Latents = 60;

    readonly TemporaryFolder _folder = new();

    public SmallRun(bool chats = true)
    {
        StringBuilder documents = new(), talks = new();
        for (int i = 0; i < 120; i++)
        {
            documents.Append(JsonSerializer.Serialize(new { id = $"d{i}", text = $"The baker of Fernmouth sold {i} loaves before noon, and the ferry came in late because of the wind." })).Append('\n');
            talks.Append(JsonSerializer.Serialize(new { id = $"c{i}", label = i % 2 == 0 ? "refusal/theft" : "story/town", turns = new[] { new { role = "user", content = $"Tell me how to open box {i}." }, new { role = "assistant", content = "I can't help with taking what is not yours." } } })).Append('\n');
        }

        Run = RunFolder.Create(Path.Combine(_folder.Path, "run"));
        StageContext context = Context();
        TokenizeStage.Run(context, new TokenizeSettings
        {
            BaseModel = Path.Combine(GoldenFiles.Assets, "base"),
            ChatModel = Path.Combine(GoldenFiles.Assets, "chat"),
            LeastSplitTokens = 1,
            Seed = 5,
            Texts = [_folder.File("documents.jsonl", documents.ToString())],
            Chats = chats ? [_folder.File("chats.jsonl", talks.ToString())] : [],
        });
        HarvestStage.Run(context, new HarvestSettings { Layer = 0 });
    }

    public RunFolder Run { get; }

    public StageContext Context() => new(Run, new CpuBackend(CpuPaths.Best, 1), new SilentProgress());

    public void Dispose() => _folder.Dispose();

    /// <summary>A crosscoder's folder without weights: the report reads the manifest and the log.</summary>
    public void Crosscoder(string name, string kind, bool trained = true, int layer = 0)
    {
        string folder = Directory.CreateDirectory(Run.Crosscoder(name)).FullName;
        Dictionary<string, FileSeal> outputs = [];
        if (trained)
        {
            using (TrainingLog log = new(Path.Combine(folder, TrainingLog.FileName), 0))
            {
                for (int step = 0; step < 1000; step++)
                {
                    log.Write(new StepRecord(step, 50 - (0.02 * step), 1, 1, 1, 0, step < 500 ? -1 : 4, step / 100, 8, 1, 1e-3, 16));
                }

                log.Write(1000, new ValidationResult(4096, 0.75, 0.74, [0.7, 0.8], 8.5, 0.05, 1, 1, 1, [0, 3]));
            }

            outputs[TrainingLog.FileName] = AtomicFile.Seal(Path.Combine(folder, TrainingLog.FileName));
        }

        JsonObject facts = new ValidationResult(4096, 0.75, 0.74, [0.7, 0.8], 8.5, 0.05, 1, 1, 1, [0, 3]).ToJson();
        facts["gamma"] = new JsonArray(0.4, 0.5);
        facts["threshold"] = kind == "l1" ? double.NaN : 4.0;
        Manifest("train", folder, new JsonObject { ["layer"] = layer, ["kind"] = kind, ["latents"] = Latents, ["k"] = kind == "l1" ? null : 8, ["mu"] = kind == "l1" ? 0.1 : null, ["steps"] = trained ? 1000 : null, ["batch"] = 64, ["learningRate"] = 1e-3, ["seed"] = 7 }, ["activations/0"], outputs, facts);
    }

    /// <summary>Latents 0 to 5 are chat-only; 6 and 7 base-only; 59 is dead.</summary>
    public void Table(string name)
    {
        List<LatentRow> rows = [];
        for (int j = 0; j < Latents; j++)
        {
            double delta = j < 6 ? 0.91 + (0.015 * j) : j < 8 ? 0.02 : 0.5 + (0.001 * j);
            rows.Add(new LatentRow(j, 1, 2, delta, 0.8, 1, 1, 0.5, 0.9, LatentClasses.Of(delta), j == 59 ? 3 : 100 + j, 0.01, new RoleRates(0, 0.02, 0.01, 0.03, double.NaN), 5 + j, 2, 0.25, j == 59));
        }

        string folder = Run.Latents(name);
        Dictionary<string, FileSeal> outputs = new() { [LatentTable.FileName] = LatentTable.Write(Path.Combine(folder, LatentTable.FileName), rows) };
        Manifest("latents", folder, [], ["crosscoders/" + name], outputs, []);
    }

    /// <summary>Latent 3 is chat-specific, 4 undecided, the other chat-only ones fail on both.</summary>
    public void Scaled(string name)
    {
        List<ScalingRow> rows = [];
        for (int j = 0; j < Latents; j++)
        {
            (double error, double reconstruction, long active) = j switch { 3 => (0.05, 0.1, 80L), 4 => (0.05, 0.1, 12L), < 6 => (0.6, 0.7, 90L), _ => (0.95, 1.0, 200L) };
            double delta = j < 6 ? 0.95 : 0.5;
            rows.Add(new ScalingRow(j, active, 1, 1, 1, 1, 1, 1, 1, 1, error, 0.02, reconstruction, 0.03, Verdicts.Of(delta, active, error, reconstruction)));
        }

        string folder = Run.Scaling(name);
        Dictionary<string, FileSeal> outputs = new() { [ScalingTable.FileName] = ScalingTable.Write(Path.Combine(folder, ScalingTable.FileName), rows) };
        Manifest("scale", folder, [], ["crosscoders/" + name], outputs, []);
    }

    public void Examined(string name, bool chats)
    {
        string[] tokens = [.. Enumerable.Range(0, 200).Select(i => "▁t" + i)];
        TokenExample example = new(0, "c0", "chat", ["refusal/theft"], 0, tokens, [.. tokens.Select((_, i) => i == 150 ? 9f : 0f)], [.. tokens.Select(_ => 8)], 150, 9);
        LatentExamples examples = new(3, [example], [[example], [], [example], [], [example]]);
        EvidenceFolder evidence = new()
        {
            Manifest = new StageManifest { Stage = "evidence", Settings = [] },
            Examples = [examples, examples with { Latent = 5 }],
            TemplateShares = chats ? [new(3, 0.75, 40)] : [],
            Interventions = chats ? new(20, 400, 4, 4, [new("none", "baseline", "all", new(2, 1.9, 2.1, 400), new(3, 2.9, 3.1, 400), null, null, 0, null)], new Dictionary<string, int[]>(), [], []) : null,
            Behaviours = chats ? new(40, [new("refusal", 3, new(0.9, 0.85, 0.95, 20), 0.92, 0.5, 0.6, 20, 20, 20, null, null, 40, true, 0.95)], new Dictionary<int, IReadOnlyList<string>> { [3] = ["refusal"] }, [3], true, []) : null,
        };
        string folder = Directory.CreateDirectory(Run.Evidence(name)).FullName;
        Manifest("evidence", folder, [], ["crosscoders/" + name], evidence.Save(folder), []);
    }

    void Manifest(string stage, string folder, JsonObject settings, string[] inputs, Dictionary<string, FileSeal> outputs, JsonObject facts)
        => new StageManifest
        {
            Stage = stage,
            Settings = settings,
            Outputs = outputs,
            Facts = facts,
            Backend = "CPU test",
            Seconds = 2,
            Inputs = inputs.ToDictionary(i => i, i => StageManifest.TryLoad(Path.Combine(Run.Root, i))!.Fingerprint()),
        }.Save(Directory.CreateDirectory(folder).FullName);
}
