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
        Close.Max(run.Floats("eval.scaled"), Dense(code, crosscoder.Scale_L.Row(0).ToArray()), tolerance, "eval.scaled");
        if (crosscoder.Config.Kind == CrosscoderKind.BatchTopK)
        {
            crosscoder.Backend.Crosscoder.EncodeSelect(
                acts_BE, crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.Scale_L, Selection.BatchTopK(crosscoder.Config.K * tokens), code);
            Close.Max(run.Floats("eval.code_topk"), Dense(code, null), tolerance, "eval.code_topk");
        }

        acts_BE.Buffer.Dispose();
        recon_BE.Buffer.Dispose();
    }

    /// <summary>[B, L], scaled when a scale is given.</summary>
    public static float[] Dense(SparseCode code, float[]? scale_L)
    {
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
}
