using System.Text.Json;
using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Evidence;
using Diffract.Latents;
using Diffract.Llms;
using Diffract.Reports;
using Diffract.Runs;
using Diffract.Scaling;
using Diffract.Tests.Scaling;
using Diffract.Tokens;

namespace Diffract.Tests.Evidence;

public sealed class PairsThatDifferTests : IDisposable
{
    readonly TemporaryFolder _folder = new();
    readonly GoldenInterventions _golden = new();
    readonly IBackend _backend = EvidenceBackend.Create();

    public void Dispose()
    {
        _golden.Dispose();
        _backend.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void The_base_model_reads_the_replaced_ids_and_the_chat_model_the_originals()
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(_golden.WriteCrosscoder(_folder.Path), _backend);
        using Llm baseModel = Load(Pairs.Base), chatModel = Load(Pairs.Chat);
        EditChat chat = _golden.Chat(0);
        int[] replaced = ReplacementMap.Parse($"{chat.Ids[1]}=300")!.Apply(chat.Ids);
        Assert.NotEqual(chat.Ids, replaced);
        Matrix base_TD = Resid(baseModel, replaced), chat_TD = Resid(chatModel, chat.Ids);
        using InterventionRunner runner = new(_backend, baseModel, chatModel, crosscoder, _golden.Layer, Edit.Baselines, [], 1024, everyPosition: true);
        int seen = 0;
        runner.Observer = (edit, edited_TD) =>
        {
            for (int t = 0; t < chat.Ids.Length && edit.Form is EditForm.None or EditForm.Template; t++)
            {
                Matrix wanted = edit.Form == EditForm.Template && chat.Masks.Template[t] ? chat_TD : base_TD;
                Assert.Equal(wanted.Row(t).ToArray(), edited_TD.Row(t).ToArray());
                seen++;
            }
        };
        Assert.Single(runner.Run([chat with { BaseIds = replaced }], TestContext.Current.CancellationToken));
        Assert.Equal(2 * chat.Ids.Length, seen);
    }

    [Fact]
    public void Rows_that_no_token_uses_change_no_number()
    {
        string padded = Pairs.Padded(Pairs.Chat, Path.Combine(_folder.Path, "padded"), 8);
        Directory.CreateDirectory(Path.Combine(_folder.Path, "crosscoder"));
        using Crosscoder crosscoder = CrosscoderFolder.Load(_golden.WriteCrosscoder(Path.Combine(_folder.Path, "crosscoder")), _backend);
        using Llm baseModel = Load(Pairs.Base), chatModel = Load(Pairs.Chat), paddedModel = Load(padded);
        Assert.Equal(4104, paddedModel.Config.Vocabulary);
        EditChat[] chats = [_golden.Chat(0), _golden.Chat(1)];
        ChatEffects[] wanted = Run(baseModel, chatModel), got = Run(baseModel, paddedModel), other = Run(paddedModel, chatModel);
        for (int c = 0; c < chats.Length; c++)
        {
            for (int e = 0; e < GoldenInterventions.Edits.Count; e++)
            {
                Near(wanted[c].Kl[e], got[c].Kl[e]);
                Near(wanted[c].Nll[e], got[c].Nll[e]);
                Assert.All(other[c].Kl[e], kl => Assert.True(double.IsFinite(kl)));
            }
        }

        ChatEffects[] Run(Llm first, Llm second)
        {
            using InterventionRunner runner = new(_backend, first, second, crosscoder, _golden.Layer, GoldenInterventions.Edits, GoldenInterventions.Sets, 1024, everyPosition: true);
            return [.. runner.Run(chats, TestContext.Current.CancellationToken)];
        }

        static void Near(double[] wanted, double[] got) => Assert.All(wanted.Zip(got), p => Assert.Equal(p.First, p.Second, 1e-6));
    }

    [Fact]
    public void A_token_that_only_the_chat_model_has_gets_no_likelihood()
    {
        string padded = Pairs.Padded(Pairs.Chat, Path.Combine(_folder.Path, "padded"), 8);
        Directory.CreateDirectory(Path.Combine(_folder.Path, "crosscoder"));
        using Crosscoder crosscoder = CrosscoderFolder.Load(_golden.WriteCrosscoder(Path.Combine(_folder.Path, "crosscoder")), _backend);
        using Llm baseModel = Load(Pairs.Base), chatModel = Load(padded);
        EditChat whole = _golden.Chat(0);
        int at = Array.FindIndex(whole.Masks.All, m => m) + 3;
        EditChat chat = whole with { Ids = [.. whole.Ids.Select((id, t) => t == at ? 4100 : id)] };
        using InterventionRunner runner = new(_backend, baseModel, chatModel, crosscoder, _golden.Layer, Edit.Baselines, [], 1024, everyPosition: false);
        ChatEffects effects = runner.Run([chat], TestContext.Current.CancellationToken).Single();
        int index = Array.IndexOf(effects.Positions, at - 1);
        Assert.All(effects.Nll, nll => Assert.Equal([index], nll.Index().Where(n => double.IsNaN(n.Item)).Select(n => n.Index)));
        Assert.All(effects.Kl, kl => Assert.All(kl, k => Assert.True(double.IsFinite(k))));
        ChatSums sums = ChatSums.Of(effects);
        Assert.Equal(sums.Counts[0] - 1, sums.NllCounts![0]);
        Assert.Equal(effects.Nll[0].Where(double.IsFinite).Sum(), sums.Nll[0][0], 1e-9);
    }

    [Fact]
    public void Models_with_their_own_tokens_get_everything_but_interventions()
    {
        string other = Pairs.FewerMerges(Pairs.Base, Path.Combine(_folder.Path, "base"));
        using ScanRun run = new(skipFirst: 0, other);
        CheckHarvest(run.Run, other);
        LatentsStage.Run(run.Context(), new LatentsSettings { Name = "batchtopk" });
        ScaleStage.Run(run.Context(), new ScaleSettings { Name = "batchtopk" });
        ListProgress progress = new();
        EvidenceStage.Run(run.Context(progress: progress), new EvidenceSettings { Name = "batchtopk", Conversations = 4, Resamples = 20, Shuffles = 5 });
        Assert.Contains(progress.Warnings, w => w == "interventions are left out: the models read different tokens");
        EvidenceFolder evidence = EvidenceFolder.Open(run.Run, "batchtopk");
        Assert.Null(evidence.Interventions);
        Assert.Contains(evidence.Examples, e => e.Top.Count > 0);
        ReportStage.Run(run.Context(), new ReportSettings(["batchtopk"], ScanRun.Layer));
        string report = File.ReadAllText(Path.Combine(run.Run.Root, "report", "report.json"));
        Assert.Contains("the models read different tokens", report, StringComparison.Ordinal);
        Assert.Contains("each model reads its own", report, StringComparison.Ordinal);
    }

    [Fact]
    public void Loose_interventions_refuse_two_tokenizers_by_name()
    {
        string other = Pairs.FewerMerges(Pairs.Base, Path.Combine(_folder.Path, "base"));
        DiffractException e = Assert.Throws<DiffractException>(() => LooseIntervention.Run(_backend, new SilentProgress(), Loose(other, Turns), TestContext.Current.CancellationToken));
        Assert.Contains("intervene: the models read different tokens, their tokenizers differ on", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Loose_interventions_replace_and_skip_as_they_are_told()
    {
        InterveneSettings plain = Loose(Pairs.Base, Turns);
        ListProgress progress = new();
        LooseIntervention.Run(_backend, progress, plain with { Replace = ReplacementMap.Parse("5=300"), SkipFirst = 3, Out = Path.Combine(_folder.Path, "other.json") }, TestContext.Current.CancellationToken);
        Assert.Contains(progress.Lines, l => l.Contains("other ids in place of some: 5=300", StringComparison.Ordinal));
        Assert.Contains(progress.Lines, l => l.Contains("the first 3 positions of each chat are left alone", StringComparison.Ordinal));
        LooseIntervention.Run(_backend, new SilentProgress(), plain, TestContext.Current.CancellationToken);
        Assert.NotEqual(Kl(plain.Out), Kl(Path.Combine(_folder.Path, "other.json")));

        static double Kl(string file) => JsonDocument.Parse(File.ReadAllText(file)).RootElement.GetProperty("none").GetProperty("all").GetProperty("kl").GetProperty("mean").GetDouble();
    }

    static string Turns => File.ReadLines(GoldenFiles.Path("interventions/chats.jsonl")).First();

    InterveneSettings Loose(string baseModel, string chats)
    {
        string crosscoder = Path.Combine(_folder.Path, "loose");
        Directory.CreateDirectory(crosscoder);
        return new InterveneSettings
        {
            BaseModel = baseModel,
            ChatModel = Pairs.Chat,
            Crosscoder = _golden.WriteCrosscoder(crosscoder),
            Layer = _golden.Layer,
            Chats = _folder.File("chats.jsonl", chats),
            Out = Path.Combine(_folder.Path, "out.json"),
        };
    }

    /// <summary>Each row holds what either model makes of its own tokens, at its own position.</summary>
    void CheckHarvest(RunFolder run, string other)
    {
        using TokenStore tokens = TokenStore.Open(run);
        using ActivationStore store = ActivationStore.Open(run, ScanRun.Layer);
        Assert.Equal(tokens.Rows, store.Rows);
        using Llm baseModel = Load(other), chatModel = Load(Pairs.Chat);
        foreach (TokenDocument d in (TokenDocument[])[tokens.Documents[0], tokens.Documents[1], tokens.Documents[^1]])
        {
            Matrix base_TD = Resid(baseModel, tokens.Ids(d, 0).ToArray(), ScanRun.Layer), chat_TD = Resid(chatModel, tokens.Ids(d).ToArray(), ScanRun.Layer);
            Matrix acts_BE = Matrix.Host(d.Rows, 256);
            store.Read(d.FirstRow, d.Rows, acts_BE);
            for (int r = 0; r < d.Rows; r++)
            {
                float[] wanted = [.. base_TD.Row(tokens.Positions(d, 0)[r]).ToArray(), .. chat_TD.Row(tokens.Positions(d, 1)[r]).ToArray()];
                Assert.All(wanted.Zip(acts_BE.Row(r).ToArray()), p => Assert.Equal(p.First, p.Second, (Math.Abs(p.First) / 128) + 1e-6f));
            }
        }
    }

    Llm Load(string folder) => Llm.Load(folder, _backend, 1024);

    Matrix Resid(Llm model, int[] ids, int? layer = null)
    {
        TokenBatch batch = new(ids.Length, 1);
        batch.Add(ids);
        Matrix resid_TD = Matrix.Host(ids.Length, 128);
        model.RunTo(batch, layer ?? _golden.Layer, resid_TD);
        return resid_TD;
    }
}
