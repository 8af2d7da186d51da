using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Formats;

namespace Diffract.Tests.Crosscoders;

/// <summary>Compares inference with the eval.* tensors of a golden training run.</summary>
static class GoldenInference
{
    public static void Check(SafetensorsFile run, Crosscoder crosscoder, double tolerance)
    {
        int tokens = (int)run["eval.x"].Shape[0];
        Matrix acts_BE = crosscoder.Backend.Matrix(tokens, crosscoder.E);
        Matrix recon_BE = crosscoder.Backend.Matrix(tokens, crosscoder.E);
        crosscoder.Backend.Upload(run.Floats("eval.x"), acts_BE);
        using SparseCode code = crosscoder.NewCode(tokens);
        crosscoder.Encode(acts_BE, code);
        crosscoder.Decode(code, recon_BE);
        float[] got = new float[tokens * crosscoder.E];
        crosscoder.Backend.Download(recon_BE, got);
        Close.Max(run.Floats("eval.reconstruction"), got, tolerance, "eval.reconstruction");
        Close.Max(run.Floats("eval.code"), Dense(code, null), tolerance, "eval.code");
        if (!crosscoder.Config.Sae)
        {
            Close.Max(run.Floats("eval.scaled"), Scaled(code, crosscoder), tolerance, "eval.scaled");
        }

        if (run.Tensors.ContainsKey("eval.code_topk"))
        {
            crosscoder.Normalise(acts_BE, acts_BE);
            crosscoder.EncodeLargest(acts_BE, crosscoder.Config.K * tokens, code);
            Close.Max(run.Floats("eval.code_topk"), Dense(code, null), tolerance, "eval.code_topk");
        }

        acts_BE.Buffer.Dispose();
        recon_BE.Buffer.Dispose();
    }

    /// <summary>[B, L]: f·s, of a decoupled code summed over the models.</summary>
    static float[] Scaled(SparseCode code, Crosscoder crosscoder)
    {
        if (!crosscoder.Decoupled)
        {
            return Dense(code, crosscoder.Scale_L.Row(0).ToArray());
        }

        float[] dense_BML = Dense(code, null);
        (int models, int latents) = (crosscoder.Models, crosscoder.Latents);
        return [.. Enumerable.Range(0, code.Tokens * latents).Select(i => (float)Enumerable.Range(0, models)
            .Sum(m => (double)dense_BML[(i / latents * models + m) * latents + i % latents] * crosscoder.Norms_LM.Row(i % latents)[m]))];
    }

    /// <summary>[B, L], scaled when a scale is given; [B, M, L] of a decoupled code.</summary>
    public static float[] Dense(SparseCode code, float[]? scale_L)
    {
        if (code.ModelOffsets is { } offsets)
        {
            return ByModel(code, offsets.Length - 1);
        }

        float[] dense_BL = new float[code.Tokens * code.Latents];
        Span<int> start = code.LatentStart.Span<int>();
        for (int j = 0; j < code.Latents; j++)
        {
            for (int i = start[j]; i < start[j + 1]; i++)
            {
                dense_BL[code.PairToken.Span<int>()[i] * code.Latents + j] = code.PairValue.Span<float>()[i] * (scale_L?[j] ?? 1);
            }
        }

        return dense_BL;
    }

    static float[] ByModel(SparseCode code, int models)
    {
        float[] dense_BML = new float[code.Tokens * models * code.Latents];
        for (int j = 0; j < code.Latents; j++)
        {
            for (int i = code.LatentStart.Span<int>()[j]; i < code.LatentStart.Span<int>()[j + 1]; i++)
            {
                for (int m = 0; m < models; m++)
                {
                    bool active = (code.PairModels!.Span<int>()[i] >> m & 1) != 0;
                    dense_BML[(code.PairToken.Span<int>()[i] * models + m) * code.Latents + j] = active ? code.PairValue.Span<float>()[i] : 0;
                }
            }
        }

        return dense_BML;
    }
}
