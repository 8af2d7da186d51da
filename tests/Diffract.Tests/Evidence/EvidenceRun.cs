using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Latents;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Tests.Evidence;

/// <summary>
/// A run folder up to the scale stage: real tokens, codes and latent table of the embedded pair and the reference dictionary; the ratios are made up, so that the pool passes its filter.
/// </summary>
sealed class EvidenceRun : IDisposable
{
    public const string Name = "golden";

    readonly string _folder = Directory.CreateTempSubdirectory("diffract-evidence-run").FullName;

    public EvidenceRun(IBackend backend, int texts = 80, bool chats = true, int skipFirst = 0)
    {
        Backend = backend;
        Run = RunFolder.Create(Path.Combine(_folder, "run"));
        string file = Path.Combine(_folder, "texts.jsonl");
        File.WriteAllLines(file, TextRows.Json(Path.Combine(GoldenFiles.Assets, chats ? "chats.jsonl.gz" : "documents.jsonl.gz")).Take(texts).Select(l => l.Text));
        TokenizeStage.Run(Context(), new TokenizeSettings
        {
            BaseModel = Path.Combine(GoldenFiles.Assets, "base"),
            ChatModel = Path.Combine(GoldenFiles.Assets, "chat"),
            Texts = chats ? [] : [file],
            Chats = chats ? [file] : [],
            TrainShare = 0.1,
            ScalingShare = 0.1,
            HeldOutShare = 0.8,
            LeastSplitTokens = 1,
            SkipFirst = skipFirst,
        });
        using GoldenInterventions golden = new();
        string folder = Run.Crosscoder(Name);
        Directory.CreateDirectory(folder);
        golden.WriteCrosscoder(folder);
        new StageManifest { Stage = "train", Settings = new JsonObject { ["layer"] = golden.Layer } }.Save(folder);
        using TokenStore tokens = TokenStore.Open(Run);
        WriteLatents(tokens, golden.Layer);
    }

    public RunFolder Run { get; }

    public IBackend Backend { get; }

    public StageContext Context(IProgressSink? progress = null, bool fresh = false, CancellationToken stop = default) => new(Run, Backend, progress ?? new SilentProgress(), fresh, stop);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    void WriteLatents(TokenStore tokens, int layer)
    {
        TokenDocument[] documents = [.. tokens.Documents.Where(d => d.Split == Split.HeldOut)];
        using Crosscoder crosscoder = CrosscoderFolder.Load(Run.Crosscoder(Name), Backend);
        Dictionary<string, FileSeal> outputs = [];
        Directory.CreateDirectory(Run.Latents(Name));
        LatentCounts counts = new(crosscoder.Latents);
        using (LatentActivationsWriter writer = new(Run.Latents(Name), crosscoder.Latents, documents, tokens))
        {
            Encode(tokens, documents, crosscoder, layer, (code, roles) =>
            {
                writer.Add(code, crosscoder.Scale_L, roles);
                counts.Add(code, crosscoder.Scale_L, roles);
            });
            outputs[LatentActivations.FileName] = writer.Save(default);
        }

        LatentRow[] rows = [.. Enumerable.Range(0, crosscoder.Latents).Select(j => Row(crosscoder, counts, j))];
        outputs[LatentTable.FileName] = LatentTable.Write(Path.Combine(Run.Latents(Name), LatentTable.FileName), rows);
        new StageManifest { Stage = "latents", Settings = [], Outputs = outputs }.Save(Run.Latents(Name));
        Directory.CreateDirectory(Run.Scaling(Name));
        FileSeal seal = ScalingTable.Write(Path.Combine(Run.Scaling(Name), ScalingTable.FileName), [.. rows.Select(Scaling)]);
        new StageManifest { Stage = "scale", Settings = [], Outputs = { [ScalingTable.FileName] = seal } }.Save(Run.Scaling(Name));
    }

    void Encode(TokenStore tokens, TokenDocument[] documents, Crosscoder crosscoder, int layer, Action<SparseCode, byte[]> add)
    {
        using Llm baseModel = Llm.Load(tokens.BaseModel, Backend, tokens.Context, headNeeded: false), chatModel = Llm.Load(tokens.ChatModel, Backend, tokens.Context, headNeeded: false);
        TokenBatch batch = new(tokens.Context, 1);
        Matrix pair_TE = Backend.Matrix(tokens.Context, crosscoder.E);
        using SparseCode code = crosscoder.NewCode(tokens.Context);
        foreach (TokenDocument document in documents)
        {
            batch.Clear();
            batch.Add(tokens.Ids(document));
            Matrix rows = pair_TE.SliceRows(0, document.Length);
            baseModel.RunTo(batch, layer, rows.SliceColumns(0, crosscoder.ModelOffsets[1]));
            chatModel.RunTo(batch, layer, rows.SliceColumns(crosscoder.ModelOffsets[1], crosscoder.E - crosscoder.ModelOffsets[1]));
            crosscoder.Encode(rows.SliceRows(tokens.SkipFirst, document.Rows), code);
            add(code, tokens.Roles(document)[tokens.SkipFirst..].ToArray());
        }
    }

    static LatentRow Row(Crosscoder crosscoder, LatentCounts counts, int j)
    {
        double delta = crosscoder.RelativeDecoderNorm(j);
        return new LatentRow(
            j, crosscoder.Norms_LM.Row(j)[0], crosscoder.Norms_LM.Row(j)[1], delta, 0, 1, 1, 0.5, 1, LatentClasses.Of(delta), counts.Active(j), counts.Active(j) / (double)counts.Tokens,
            default, 0, 0, double.NaN, counts.Active(j) < LatentClasses.DeadBelow);
    }

    static ScalingRow Scaling(LatentRow latent)
    {
        double nu = latent.Latent % 10 / 10.0;
        return new ScalingRow(
            latent.Latent, latent.Active, 0, 0, 0, 0, 0, 0, 0, 0, nu, 0.01, nu, 0.01, latent.Class != LatentClass.ChatOnly ? Verdict.NotChatOnly : nu < 0.2 ? Verdict.ChatSpecific : Verdict.Both);
    }
}
