using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Evidence;
using Diffract.Formats;
using Diffract.Llms;
using Diffract.Tokens;

namespace Diffract.Tests.Evidence;

public sealed class ActivationEditsTests
{
    const int Tokens = 9, Width = 4, Latents = 12;

    [Fact]
    public void Each_form_is_its_formula()
    {
        using ReferenceBackend backend = new();
        using Crosscoder crosscoder = Random(backend);
        Matrix pair_BE = Pair(backend);
        bool[] template = [.. Enumerable.Range(0, Tokens).Select(t => t % 3 == 0)];
        int[] set = [0, 3, 5, 11];
        using ActivationEdits edits = new(crosscoder, [set], Tokens);
        edits.Encode(pair_BE);
        Matrix edited_BD = backend.Matrix(Tokens, Width);

        // The order of the forms mixes sets, so that a decoding kept too long would show.
        foreach (EditForm form in (EditForm[])[EditForm.All, EditForm.Replace, EditForm.Error, EditForm.Add, EditForm.None, EditForm.Template, EditForm.Replace])
        {
            edits.Apply(new Edit("x", form, 0), template, edited_BD);
            for (int t = 0; t < Tokens; t++)
            {
                for (int i = 0; i < Width; i++)
                {
                    Assert.Equal(Formula(form, crosscoder, pair_BE.Row(t), i, set, template[t]), edited_BD.Row(t)[i], 1e-4);
                }
            }
        }
    }

    [Fact]
    public void Equal_decoders_make_every_replacement_no_edit()
    {
        using ReferenceBackend backend = new();
        using Crosscoder crosscoder = Random(backend, sameDecoders: true);
        Matrix pair_BE = Pair(backend), edited_BD = backend.Matrix(Tokens, Width);
        using ActivationEdits edits = new(crosscoder, [[1, 2, 3]], Tokens);
        edits.Encode(pair_BE);
        Assert.True(edits.Code.Pairs > 0);
        foreach ((EditForm form, int from) in new[] { (EditForm.All, 0), (EditForm.Replace, 0), (EditForm.Error, Width) })
        {
            edits.Apply(new Edit("x", form, 0), new bool[Tokens], edited_BD);
            for (int t = 0; t < Tokens; t++)
            {
                Assert.Equal(pair_BE.Row(t).Slice(from, Width).ToArray(), edited_BD.Row(t).ToArray());
            }
        }
    }

    [Fact]
    public void Replacing_every_latent_is_all()
    {
        using ReferenceBackend backend = new();
        using Crosscoder crosscoder = Random(backend);
        Matrix all_BD = backend.Matrix(Tokens, Width), replaced_BD = backend.Matrix(Tokens, Width);
        using ActivationEdits edits = new(crosscoder, [[.. Enumerable.Range(0, Latents)], []], Tokens);
        edits.Encode(Pair(backend));
        edits.Apply(new Edit("all", EditForm.All), new bool[Tokens], all_BD);
        edits.Apply(new Edit("x", EditForm.Replace, 0), new bool[Tokens], replaced_BD);
        for (int t = 0; t < Tokens; t++)
        {
            Assert.Equal(all_BD.Row(t).ToArray(), replaced_BD.Row(t).ToArray());
        }
    }

    [Fact]
    public void A_pair_of_one_model_has_no_gap()
    {
        using GoldenInterventions golden = new();
        using IBackend backend = EvidenceBackend.Create();
        string folder = Directory.CreateTempSubdirectory("diffract-edits").FullName;
        try
        {
            using Crosscoder crosscoder = CrosscoderFolder.Load(golden.WriteCrosscoder(folder), backend);
            using Llm chat = Llm.Load(Path.Combine(GoldenFiles.Assets, "chat"), backend, 64);
            EditChat short16 = golden.Chat(0) with { Ids = golden.Chat(0).Ids[..16], BaseIds = golden.Chat(0).Ids[..16], Masks = AnswerMasks.Of([1, 2, 2, 2, 4, 4, 6, 2, 2, 2, 2, 8, 8, 8, 8, 10]) };
            using InterventionRunner runner = new(backend, chat, chat, crosscoder, golden.Layer, [Edit.Baselines[0], Edit.Baselines[3], Edit.BaseModel], [], 64, everyPosition: false);

            ChatEffects effects = Assert.Single(runner.Run([short16], TestContext.Current.CancellationToken));

            Assert.Equal([10, 11, 12, 13, 14], effects.Positions);
            Assert.All(effects.Kl, kl => Assert.All(kl, k => Assert.Equal(0, k, 1e-12)));
            Assert.Equal(effects.Nll[0], effects.Nll[2]);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Divergences_equal_the_reference_numbers()
    {
        using SafetensorsFile file = SafetensorsFile.Open(GoldenFiles.Path("statistics/numbers.safetensors"));
        using IBackend backend = EvidenceBackend.Create();
        Matrix q_TV = backend.Matrix(50, 320), p_TV = backend.Matrix(50, 320);
        backend.Upload(file.Floats("logits"), q_TV);
        backend.Upload(file.Floats("logits_target"), p_TV);
        double[] kl = new double[50], wanted = file.Doubles("kl", 50);
        backend.Transformer.KlDivergence(p_TV, q_TV, kl);

        // The reference took these in float32.
        for (int t = 0; t < 50; t++)
        {
            Assert.Equal(wanted[t], kl[t], 1e-5);
        }

        PositionMoments moments = default;
        foreach (double k in kl)
        {
            moments.Add(k);
        }

        Assert.Equal(file.Doubles("kl_mean", 1)[0], moments.Mean, 1e-5);
        Assert.Equal(kl.Select(k => (k - moments.Mean) * (k - moments.Mean)).Average(), moments.Variance, 1e-12);
    }

    static double Formula(EditForm form, Crosscoder crosscoder, ReadOnlySpan<float> pair, int i, int[] set, bool template)
    {
        double toChat = 0, ofSet = 0, added = 0;
        for (int j = 0; j < Latents; j++)
        {
            double f = crosscoder.BEnc_L.Row(0)[j];
            for (int e = 0; e < 2 * Width; e++)
            {
                f += pair[e] * crosscoder.WEnc_LE.Row(j)[e];
            }

            f = Math.Max(0, f);
            double ofBase = crosscoder.WDec_LE.Row(j)[i], ofChat = crosscoder.WDec_LE.Row(j)[Width + i];
            toChat += f * (ofChat - ofBase);
            ofSet += set.Contains(j) ? f * (ofChat - ofBase) : 0;
            added += set.Contains(j) ? f * ofChat : 0;
        }

        return form switch
        {
            EditForm.All => pair[i] + toChat,
            EditForm.Error => pair[Width + i] - toChat,
            EditForm.Replace => pair[i] + ofSet,
            EditForm.Add => pair[i] + added,
            EditForm.Template => template ? pair[Width + i] : pair[i],
            _ => pair[i],
        };
    }

    static Crosscoder Random(IBackend backend, bool sameDecoders = false)
    {
        SeededDraws draws = new(5);
        Crosscoder crosscoder = new(new CrosscoderConfig(CrosscoderKind.L1, Latents, [Width, Width]), backend);
        for (int j = 0; j < Latents; j++)
        {
            Fill(crosscoder.WEnc_LE.Row(j), ref draws);
            Fill(crosscoder.WDec_LE.Row(j), ref draws);
            if (sameDecoders)
            {
                crosscoder.WDec_LE.Row(j)[..Width].CopyTo(crosscoder.WDec_LE.Row(j)[Width..]);
            }
        }

        Fill(crosscoder.BDec_E.Row(0), ref draws);
        crosscoder.RefreshNorms();
        return crosscoder;
    }

    static Matrix Pair(IBackend backend)
    {
        SeededDraws draws = new(6);
        Matrix pair_BE = backend.Matrix(Tokens, 2 * Width);
        for (int t = 0; t < Tokens; t++)
        {
            Fill(pair_BE.Row(t), ref draws);
        }

        return pair_BE;
    }

    static void Fill(Span<float> row, ref SeededDraws draws)
    {
        foreach (ref float value in row)
        {
            value = (draws.Below(2001) - 1000) / 500f;
        }
    }
}
