using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Compute.Reference;
using Diffract.Crosscoders;
using Diffract.Evidence;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Scaling;

namespace Diffract.Tests.Crosscoders;

/// <summary>A crosscoder on normalised activations says the same in raw units as one into whose weights mean and gain were folded by hand (spec 12.3, item 26).</summary>
public sealed class RawUnitsTests : IDisposable
{
    const int Tokens = 200, Latents = 12;

    static readonly int[] Widths = [4, 4];

    readonly TemporaryFolder _folder = new();
    readonly ReferenceBackend _backend = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Codes_and_reconstructions_are_those_of_the_folded_weights()
    {
        using Crosscoder normalised = Normalised(), folded = Folded(normalised);
        Matrix acts_BE = Acts(), recon_BE = _backend.Matrix(Tokens, 8), wanted_BE = _backend.Matrix(Tokens, 8);
        using SparseCode code = normalised.NewCode(Tokens), wanted = folded.NewCode(Tokens);
        normalised.Encode(acts_BE, code);
        folded.Encode(acts_BE, wanted);
        normalised.Decode(code, recon_BE);
        folded.Decode(wanted, wanted_BE);
        Assert.InRange(code.Pairs, Tokens, Tokens * Latents - 1);
        Close.Max(GoldenInference.Dense(wanted, null), GoldenInference.Dense(code, null), 1e-5, "code");
        for (int b = 0; b < Tokens; b++)
        {
            Close.Max(wanted_BE.Row(b).ToArray(), recon_BE.Row(b).ToArray(), 1e-5, "reconstruction");
        }

        using RawDecoder raw = new(normalised);
        for (int j = 0; j < Latents; j++)
        {
            Close.Max(folded.WDec_LE.Row(j).ToArray(), raw.WDec_LE.Row(j).ToArray(), 1e-6, "decoder");
        }

        Close.Max(folded.BDec_E.Row(0).ToArray(), raw.BDec_E.Row(0).ToArray(), 1e-6, "bias");
    }

    [Fact]
    public void Latent_scaling_is_that_of_the_folded_weights()
    {
        using Crosscoder normalised = Normalised(), folded = Folded(normalised);
        using SafetensorsFile got = Scaled(normalised, "a"), wanted = Scaled(folded, "b");
        Assert.Equal(40, got.Tensors.Count);
        foreach (string name in wanted.Tensors.Keys)
        {
            double[] w = wanted.Doubles(name), g = got.Doubles(name);
            Assert.All(Enumerable.Range(0, w.Length), j => Assert.Equal(w[j], g[j], 2e-4 * (1 + Math.Abs(w[j]))));
        }
    }

    [Fact]
    public void Edits_are_those_of_the_folded_weights()
    {
        using Crosscoder normalised = Normalised(), folded = Folded(normalised);
        Matrix acts_BE = Acts(), got_BD = _backend.Matrix(Tokens, 4), wanted_BD = _backend.Matrix(Tokens, 4);
        using ActivationEdits edits = new(normalised, [[1, 5, 7]], Tokens), byHand = new(folded, [[1, 5, 7]], Tokens);
        edits.Encode(acts_BE);
        byHand.Encode(acts_BE);
        foreach (EditForm form in (EditForm[])[EditForm.All, EditForm.Error, EditForm.Replace, EditForm.Add])
        {
            edits.Apply(new Edit("x", form, 0), new bool[Tokens], got_BD);
            byHand.Apply(new Edit("x", form, 0), new bool[Tokens], wanted_BD);
            for (int b = 0; b < Tokens; b++)
            {
                Close.Max(wanted_BD.Row(b).ToArray(), got_BD.Row(b).ToArray(), 1e-5, form.ToString());
            }
        }
    }

    Crosscoder Normalised()
    {
        SeededDraws draws = new(5);
        float[] mean_E = new float[8], std_E = new float[8];
        Fill(mean_E, ref draws);
        Fill(std_E, ref draws);
        Array.ForEach([0, 1, 2, 3], e => std_E[e] *= 7);
        CrosscoderConfig config = new(CrosscoderKind.L1, Latents, Widths);
        Crosscoder crosscoder = new(config, _backend, ActivationNorm.From(mean_E, std_E, 1.5f, config.ModelOffsets));
        for (int j = 0; j < Latents; j++)
        {
            Fill(crosscoder.WEnc_LE.Row(j), ref draws);
            Fill(crosscoder.WDec_LE.Row(j), ref draws);
        }

        Fill(crosscoder.BEnc_L.Row(0), ref draws);
        Fill(crosscoder.BDec_E.Row(0), ref draws);
        crosscoder.RefreshNorms();
        return crosscoder;
    }

    /// <summary>W_enc·g, b_enc - Σ μ·g·W_enc, W_dec/(g + 1e-8), b_dec/(g + 1e-8) + μ.</summary>
    Crosscoder Folded(Crosscoder from)
    {
        Crosscoder folded = new(from.Config, _backend);
        ActivationNorm norm = from.Normalisation!;
        for (int j = 0; j < Latents; j++)
        {
            double bias = from.BEnc_L.Row(0)[j];
            for (int e = 0; e < 8; e++)
            {
                double g = norm.Scale_M[e / 4];
                folded.WEnc_LE.Row(j)[e] = (float)(from.WEnc_LE.Row(j)[e] * g);
                folded.WDec_LE.Row(j)[e] = (float)(from.WDec_LE.Row(j)[e] / (g + 1e-8));
                bias -= norm.Mean_E[e] * g * from.WEnc_LE.Row(j)[e];
            }

            folded.BEnc_L.Row(0)[j] = (float)bias;
        }

        for (int e = 0; e < 8; e++)
        {
            folded.BDec_E.Row(0)[e] = (float)(from.BDec_E.Row(0)[e] / (norm.Scale_M[e / 4] + 1e-8) + norm.Mean_E[e]);
        }

        folded.RefreshNorms();
        return folded;
    }

    Matrix Acts()
    {
        SeededDraws draws = new(6);
        Matrix acts_BE = _backend.Matrix(Tokens, 8);
        for (int b = 0; b < Tokens; b++)
        {
            Fill(acts_BE.Row(b), ref draws);
        }

        return acts_BE;
    }

    SafetensorsFile Scaled(Crosscoder crosscoder, string name)
    {
        string folder = Path.Combine(_folder.Path, name), x = Path.Combine(_folder.Path, "x.safetensors"), y = Path.Combine(_folder.Path, name + ".safetensors");
        CrosscoderFolder.Save(Directory.CreateDirectory(folder).FullName, crosscoder);
        Matrix acts_BE = Acts();
        float[] flat = new float[Tokens * 8];
        _backend.Download(acts_BE, flat);
        SafetensorsWriter writer = new();
        writer.Add("x", flat, Tokens, 2, 4);
        writer.Save(x);
        LooseScaling.Run(_backend, new SilentProgress(), new LooseScalingSettings { Dictionary = new LooseReading { Folder = folder, Activations = x }, Out = y }, CancellationToken.None);
        return SafetensorsFile.Open(y);
    }

    static void Fill(Span<float> row, ref SeededDraws draws)
    {
        foreach (ref float value in row)
        {
            value = (draws.Below(2001) - 1000) / 500f;
        }
    }
}
