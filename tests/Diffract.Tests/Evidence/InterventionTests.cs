using System.Globalization;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Evidence;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Tests.Evidence;

public sealed class InterventionTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("diffract-intervene").FullName;
    readonly GoldenInterventions _golden = new();
    readonly IBackend _backend = EvidenceBackend.Create();

    public void Dispose()
    {
        _golden.Dispose();
        _backend.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void Every_position_of_every_edit_equals_the_reference()
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(_golden.WriteCrosscoder(_folder), _backend);
        using Llm baseModel = Load("base"), chatModel = Load("chat");
        using InterventionRunner runner = new(_backend, baseModel, chatModel, crosscoder, _golden.Layer, GoldenInterventions.Edits, GoldenInterventions.Sets, 1024, everyPosition: true);
        EditChat[] chats = [.. Enumerable.Range(0, _golden.Chats).Select(_golden.Chat)];
        EffectMoments moments = new(GoldenInterventions.Edits);
        int compared = 0;
        bool first = true;
        runner.Observer = (edit, edited_TD) =>
        {
            if (first)
            {
                CompareEdited(edit, edited_TD, chats[0].Ids.Length);
            }
        };
        foreach (ChatEffects effects in runner.Run(chats, TestContext.Current.CancellationToken))
        {
            first = false;
            compared += Compare(effects);
            moments.Add(effects);
        }

        Assert.True(compared > 17 * 24 * 20);
        CompareMeans(moments);
    }

    [Fact]
    public void No_edit_touches_the_positions_that_are_left_alone()
    {
        const int Skip = 5;
        using Crosscoder crosscoder = CrosscoderFolder.Load(_golden.WriteCrosscoder(_folder), _backend);
        using Llm baseModel = Load("base"), chatModel = Load("chat");
        using InterventionRunner runner = new(_backend, baseModel, chatModel, crosscoder, _golden.Layer, GoldenInterventions.Edits, GoldenInterventions.Sets, 1024, everyPosition: true);
        EditChat[] chats = [.. Enumerable.Range(0, 3).Select(_golden.Chat)];
        ChatEffects[] whole = [.. runner.Run(chats, TestContext.Current.CancellationToken)];
        ChatEffects[] skipped = [.. runner.Run([.. chats.Select(c => c with { SkipFirst = Skip })], TestContext.Current.CancellationToken)];
        for (int e = 0; e < GoldenInterventions.Edits.Count; e++)
        {
            bool own = GoldenInterventions.Edits[e].Form == EditForm.BaseModel;
            for (int c = 0; c < chats.Length; c++)
            {
                Assert.Equal(chats[c].Ids.Length, skipped[c].Kl[e].Length);
                if (own)
                {
                    Assert.Equal(whole[c].Kl[e], skipped[c].Kl[e]);
                    continue;
                }

                Assert.All(skipped[c].Kl[e][..Skip], kl => Assert.Equal(0, kl));
                Assert.Contains(whole[c].Kl[e][..Skip], kl => kl > 0);
                Assert.Contains(skipped[c].Kl[e][Skip..], kl => kl > 0);
            }
        }
    }

    [Fact]
    public void Few_logits_at_a_time_and_one_model_at_a_time_give_the_same_bits()
    {
        using Crosscoder crosscoder = CrosscoderFolder.Load(_golden.WriteCrosscoder(_folder), _backend);
        using Llm baseModel = Load("base"), chatModel = Load("chat");
        EditChat[] chats = [.. Enumerable.Range(0, 3).Select(_golden.Chat)];
        List<ChatEffects> Effects(int logitRows, bool together)
        {
            using InterventionRunner runner = new(
                _backend, baseModel, chatModel, crosscoder, _golden.Layer, GoldenInterventions.Edits, GoldenInterventions.Sets, 1024, everyPosition: true, logitRows)
            { Together = together };
            return [.. runner.Run(chats, TestContext.Current.CancellationToken)];
        }

        List<ChatEffects> whole = Effects(1024, together: true);
        foreach (List<ChatEffects> other in (List<ChatEffects>[])[Effects(7, together: true), Effects(1, together: false), Effects(64, together: false)])
        {
            for (int c = 0; c < chats.Length; c++)
            {
                Assert.Equal(whole[c].Kl, other[c].Kl);
                Assert.Equal(whole[c].Nll, other[c].Nll);
            }
        }
    }

    [Fact]
    public void Memory_decides_how_many_models_and_logits_are_held_and_refuses_less_than_one()
    {
        string[] folders = [Path.Combine(GoldenFiles.Assets, "base"), Path.Combine(GoldenFiles.Assets, "chat")];
        EvidenceMemory Choose(long bytes) => EvidenceMemory.Choose(folders, 2, 2048, 14, baseHead: true, 2048, new MemoryBudget(bytes));
        EvidenceMemory plenty = Choose(1L << 40);
        Assert.Equal((true, 256), (plenty.Models.Together, plenty.LogitRows));

        EvidenceMemory less = Choose(plenty.Models.Bytes - 1);
        Assert.False(less.Models.Together);
        Assert.Contains("both at once would take", less.Models.Why, StringComparison.Ordinal);
        long few = plenty.Models.Bytes;
        while (true)
        {
            few -= 1 << 19;
            try
            {
                less = Choose(few);
            }
            catch (DiffractException e)
            {
                Assert.Contains("with one model at a time", e.Message, StringComparison.Ordinal);
                break;
            }
        }

        Assert.Equal(16, less.LogitRows);
    }

    [Fact]
    public void Masks_are_those_of_the_reference()
    {
        for (int i = 0; i < _golden.Chats; i++)
        {
            EditChat chat = _golden.Chat(i);
            Assert.Equal(_golden.File.Integers($"{i}.pred"), chat.Masks.All.Select(b => b ? 1L : 0));
            Assert.Equal(_golden.File.Integers($"{i}.k_first"), chat.Masks.KFirst.Select(b => b ? 1L : 0));
            Assert.Equal(_golden.File.Integers($"{i}.ctrl"), chat.Masks.Template.Select(b => b ? 1L : 0));
        }
    }

    Llm Load(string model) => Llm.Load(Path.Combine(GoldenFiles.Assets, model), _backend, 1024);

    void CompareEdited(Edit edit, Matrix edited_TD, int tokens)
    {
        float[] wanted = _golden.File.Floats($"0.edited.{edit.Name}", tokens, edited_TD.Columns);
        double largest = wanted.Max(Math.Abs);
        for (int t = 0; t < tokens; t++)
        {
            for (int i = 0; i < edited_TD.Columns; i++)
            {
                double error = Math.Abs(wanted[(t * edited_TD.Columns) + i] - edited_TD.Row(t)[i]);
                Assert.True(error <= 1e-4 * largest, $"{edit.Name} token {t} column {i}: off by {error}");
            }
        }
    }

    int Compare(ChatEffects effects)
    {
        int compared = 0;
        for (int e = 0; e < GoldenInterventions.Edits.Count; e++)
        {
            string name = GoldenInterventions.Edits[e].Name;
            compared += Compare($"{effects.Chat.Key}.kl.{name}", effects.Kl[e]);
            if (name != "base_model")
            {
                Assert.True(double.IsNaN(effects.Nll[e][^1]));
                compared += Compare($"{effects.Chat.Key}.nll.{name}", effects.Nll[e][..^1]);
            }
        }

        return compared;
    }

    int Compare(string tensor, double[] got)
    {
        double[] wanted = _golden.File.Doubles(tensor, got.Length);
        for (int t = 0; t < got.Length; t++)
        {
            Assert.True(
                Math.Abs(wanted[t] - got[t]) <= 1e-4 + (1e-3 * Math.Abs(wanted[t])),
                string.Create(CultureInfo.InvariantCulture, $"{tensor}[{t}]: got {got[t]}, wanted {wanted[t]}"));
        }

        return got.Length;
    }

    void CompareMeans(EffectMoments moments)
    {
        var got = moments.ToJson();
        foreach ((string edit, var subsets) in _golden.Summary["means"]!.AsObject())
        {
            foreach ((string subset, var wanted) in subsets!.AsObject())
            {
                foreach (string metric in new[] { "kl", "nll" })
                {
                    var numbers = got[edit]![subset]![metric]!;
                    Assert.Equal((long)wanted!["count"]!, (long)numbers["count"]!);
                    Near((double)wanted[metric]!, (double)numbers["mean"]!);
                    Near((double)wanted[metric + "_variance"]!, (double)numbers["variance"]!);
                }
            }
        }

        static void Near(double wanted, double got) => Assert.InRange(got, wanted - 1e-4 - (1e-3 * wanted), wanted + 1e-4 + (1e-3 * wanted));
    }
}
