using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Diffract.Cpu.Scaling;

/// <summary>
/// For one latent: adds 1, f, f² and, by model, f·⟨acts, v⟩ and f·⟨recon, v⟩ of each of its pairs, in token order. Recipe: float32 rows widened to double in
/// registers, fused multiply-add over eight columns a step in four accumulators, so that a dot is as good as the scalar double one. Written once over
/// Vector256: every path gives the same bits.
/// </summary>
static unsafe class ScalingSums
{
    /// <param name="acts">Row 0 of acts_BE.</param>
    /// <param name="actsStride">Floats from one token to the next.</param>
    /// <param name="recon">Row 0 of recon_BE.</param>
    /// <param name="reconStride">Floats from one token to the next.</param>
    /// <param name="v">[D]: the latent's direction.</param>
    /// <param name="width">D.</param>
    /// <param name="models">M; model m begins at column m·D.</param>
    /// <param name="token">[pairs]: the token of each pair.</param>
    /// <param name="value">[pairs]: f.</param>
    /// <param name="pairs">Pairs of the latent.</param>
    /// <param name="sum">[3 + 2M], added to.</param>
    public static void Add(
        float* acts, long actsStride, float* recon, long reconStride, float* v, int width, int models, int* token, float* value, int pairs, double* sum)
    {
        for (int i = 0; i < pairs; i++)
        {
            double f = value[i];
            sum[0] += 1;
            sum[1] += f;
            sum[2] += f * f;
            float* a = acts + token[i] * actsStride;
            float* r = recon + token[i] * reconStride;
            for (int m = 0; m < models; m++)
            {
                Dots(a + (long)m * width, r + (long)m * width, v, width, out double onActs, out double onRecon);
                sum[3 + m] += f * onActs;
                sum[3 + models + m] += f * onRecon;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    static void Dots(float* a, float* r, float* v, int width, out double onA, out double onR)
    {
        Vector256<double> a0 = default, a1 = default, r0 = default, r1 = default;
        int d = 0;
        for (; d <= width - 8; d += 8)
        {
            (Vector256<double> v0, Vector256<double> v1) = Vector256.Widen(Vector256.Load(v + d));
            (Vector256<double> x0, Vector256<double> x1) = Vector256.Widen(Vector256.Load(a + d));
            (Vector256<double> y0, Vector256<double> y1) = Vector256.Widen(Vector256.Load(r + d));
            a0 = Vector256.FusedMultiplyAdd(x0, v0, a0);
            a1 = Vector256.FusedMultiplyAdd(x1, v1, a1);
            r0 = Vector256.FusedMultiplyAdd(y0, v0, r0);
            r1 = Vector256.FusedMultiplyAdd(y1, v1, r1);
        }

        onA = Vector256.Sum(a0 + a1);
        onR = Vector256.Sum(r0 + r1);
        for (; d < width; d++)
        {
            onA += (double)a[d] * v[d];
            onR += (double)r[d] * v[d];
        }
    }
}
