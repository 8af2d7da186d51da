using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Cpu;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Tests.Scaling;

/// <summary>A small run over the embedded pair, harvested once, with a random crosscoder of each kind: what the latents and scale stages read.</summary>
public sealed class ScanRun : IDisposable
{
    public const int Layer = 3;
    public const int Latents = 48;

    public ScanRun()
        : this(skipFirst: 0)
    {
    }

    /// <param name="skipFirst">Positions at the beginning of each document that are not stored.</param>
    /// <param name="baseModel">Another base model than the embedded one.</param>
    internal ScanRun(int skipFirst, string? baseModel = null)
    {
        string root = Directory.CreateTempSubdirectory().FullName;
        Run = RunFolder.Create(root);
        StageContext context = Context();
        TokenizeStage.Run(context, new TokenizeSettings
        {
            BaseModel = baseModel ?? Path.Combine(GoldenFiles.Assets, "base"),
            ChatModel = Path.Combine(GoldenFiles.Assets, "chat"),
            Texts = [Path.Combine(GoldenFiles.Assets, "documents.jsonl.gz")],
            Chats = [Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz")],
            MaxTokens = 6000,
            SkipFirst = skipFirst,
            Seed = 1,
            LeastSplitTokens = 1,
        });
        HarvestStage.Run(context, new HarvestSettings { Layer = Layer });
        AddCrosscoder("l1", CrosscoderKind.L1, [128, 128]);
        AddCrosscoder("batchtopk", CrosscoderKind.BatchTopK, [128, 128], threshold: 1);
    }

    public RunFolder Run { get; }

    public IBackend Backend { get; } = new CpuBackend(CpuPaths.Best, 2);

    public StageContext Context(IBackend? backend = null, IProgressSink? progress = null, bool fresh = false, CancellationToken stop = default)
        => new(Run, backend ?? Backend, progress ?? new SilentProgress(), fresh, stop);

    /// <summary>Random weights whose latents fire on a third of the tokens or so; the first is chat-only by its decoder, the second never fires.</summary>
    public void AddCrosscoder(string name, CrosscoderKind kind, int[] widths, float threshold = -1, int seed = 5)
    {
        Random random = new(seed);
        using Crosscoder crosscoder = new(new CrosscoderConfig(kind, Latents, widths) { K = 8 }, Backend);
        for (int j = 0; j < Latents; j++)
        {
            for (int e = 0; e < crosscoder.E; e++)
            {
                crosscoder.WEnc_LE.Row(j)[e] = (random.NextSingle() - 0.5f) * 0.05f;
                crosscoder.WDec_LE.Row(j)[e] = (random.NextSingle() - 0.5f) * (j == 0 && e < widths[0] ? 0.01f : 0.4f);
            }

            crosscoder.BEnc_L.Row(0)[j] = j == 1 ? -1e6f : -0.3f;
        }

        foreach (ref float b in crosscoder.BDec_E.Row(0))
        {
            b = random.NextSingle() - 0.5f;
        }

        crosscoder.Threshold = threshold;
        crosscoder.RefreshNorms();
        string folder = Run.Crosscoder(name);
        Dictionary<string, FileSeal> outputs = CrosscoderFolder.Save(folder, crosscoder);
        using ActivationStore activations = ActivationStore.Open(Run, Layer);
        new StageManifest
        {
            Stage = "train",
            Settings = new() { ["layer"] = Layer, ["kind"] = name, ["seed"] = seed },
            Inputs = { [Run.Relative(Run.Activations(Layer))] = activations.Manifest.Fingerprint() },
            Outputs = outputs,
        }.Save(folder);
    }

    /// <summary>All rows [N, E] of a split, in the order of its documents, with their roles.</summary>
    public (float[][] Acts, byte[] Roles) Rows(Split split)
    {
        using TokenStore tokens = TokenStore.Open(Run);
        using ActivationStore store = ActivationStore.Open(Run, Layer);
        List<float[]> rows = [];
        List<byte> roles = [];
        foreach (TokenDocument document in tokens.Documents.Where(d => d.Split == split))
        {
            Matrix acts = Matrix.Host(document.Rows, store.E);
            using IBuffer owner = acts.Buffer;
            store.Read(document.FirstRow, document.Rows, acts);
            rows.AddRange(Enumerable.Range(0, document.Rows).Select(t => acts.Row(t).ToArray()));
            byte[] ofRows = new byte[document.Rows];
            tokens.RowRoles(document, 0, ofRows);
            roles.AddRange(ofRows);
        }

        return ([.. rows], [.. roles]);
    }

    public void Dispose()
    {
        Backend.Dispose();
        Directory.Delete(Run.Root, recursive: true);
    }
}
