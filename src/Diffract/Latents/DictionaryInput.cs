using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Training;

namespace Diffract.Latents;

/// <summary>
/// A dictionary as a reader of paired activations, base and chat: a crosscoder reads both; an SAE one of them or their difference; of a decoupled code one model's part can be chosen.
/// </summary>
public sealed class DictionaryInput : IDisposable
{
    Matrix? _input_BD;

    /// <param name="crosscoder">The dictionary; stays the caller's.</param>
    /// <param name="target">What an SAE reads; null of others.</param>
    /// <param name="codeModel">Of a decoupled code: the model whose part is taken; null for all, and of others.</param>
    public DictionaryInput(Crosscoder crosscoder, SaeTarget? target, int? codeModel)
    {
        (Crosscoder, Target, CodeModel) = (crosscoder, target, codeModel);
        int width = crosscoder.Config.Widths[0];
        PairOffsets = crosscoder.Config.Sae ? [0, width, 2 * width] : crosscoder.ModelOffsets;
    }

    public Crosscoder Crosscoder { get; }

    public SaeTarget? Target { get; }

    public int? CodeModel { get; }

    /// <summary>[3]: the columns of the two models in the activations; of an SAE both as wide as it is.</summary>
    public int[] PairOffsets { get; }

    /// <summary>The inference code of paired activations [B, E], unscaled. A chosen model's code is an ordinary one.</summary>
    public void Encode(Matrix pairs_BE, SparseCode code)
    {
        EncodeWhole(pairs_BE, code);
        if (CodeModel is { } model && Crosscoder.Decoupled)
        {
            CodeFilter.KeepModel(code, model);
        }
    }

    /// <summary>The same with the parts of all models of a decoupled code.</summary>
    public void EncodeWhole(Matrix pairs_BE, SparseCode code)
    {
        if (Target is not { } target)
        {
            Crosscoder.Encode(pairs_BE, code);
            return;
        }

        if (_input_BD is not { } input_BD || input_BD.Rows < pairs_BE.Rows)
        {
            _input_BD?.Buffer.Dispose();
            input_BD = Crosscoder.Backend.Matrix(pairs_BE.Rows, Crosscoder.E);
            _input_BD = input_BD;
        }

        input_BD = input_BD.SliceRows(0, pairs_BE.Rows);
        SaeTargets.Take(pairs_BE, PairOffsets[1], target, input_BD);
        Crosscoder.Encode(input_BD, code);
    }

    /// <summary>
    /// The scaled activation of a pair: f·s; of a decoupled code f·Σ‖d_m‖ over the models in which it is active (spec 2.4), or f·‖d_m‖ where one model's code was chosen.
    /// </summary>
    /// <param name="code">As <see cref="Encode"/> made it.</param>
    /// <param name="latent">The pair's latent.</param>
    /// <param name="pair">Its place, latent-major.</param>
    public float Scaled(SparseCode code, int latent, int pair)
    {
        float value = code.PairValue.Span<float>()[pair];
        if (!Crosscoder.Decoupled)
        {
            return value * Crosscoder.Scale_L.Row(0)[latent];
        }

        ReadOnlySpan<float> norms_M = Crosscoder.Norms_LM.Row(latent);
        if (CodeModel is { } chosen)
        {
            return value * norms_M[chosen];
        }

        int active = code.PairModels!.Span<int>()[pair];
        float sum = 0;
        for (int m = 0; m < norms_M.Length; m++)
        {
            sum += (active >> m & 1) != 0 ? norms_M[m] : 0;
        }

        return value * sum;
    }

    /// <summary>What the unscaled code of a latent is multiplied with; of a whole decoupled code the sum of both norms, of a pair that is active in both.</summary>
    public float Scale(int latent)
    {
        if (!Crosscoder.Decoupled)
        {
            return Crosscoder.Scale_L.Row(0)[latent];
        }

        ReadOnlySpan<float> norms_M = Crosscoder.Norms_LM.Row(latent);
        return CodeModel is { } chosen ? norms_M[chosen] : norms_M[0] + norms_M[1];
    }

    /// <summary>Multiplies every value of a code with its scale, so that the code holds scaled activations.</summary>
    public void ScaleValues(SparseCode code)
    {
        ReadOnlySpan<int> start = code.LatentStart.Span<int>();
        Span<float> value = code.PairValue.Span<float>();
        for (int j = 0; j < code.Latents; j++)
        {
            for (int p = start[j]; p < start[j + 1]; p++)
            {
                value[p] = Scaled(code, j, p);
            }
        }
    }

    public void Dispose() => _input_BD?.Buffer.Dispose();
}
