using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;

namespace Diffract.Training;

/// <summary>
/// Dead latents of an L1 crosscoder begin anew at activations that are badly reconstructed (spec 3.4). A counter by latent grows with every step in which none of its scaled activations
/// is above 1e-4. After the update of every step that the interval divides: dead are counters above half the interval; rows are drawn without replacement with weights
/// w_b = (mean_m ‖e_bm‖)², e under the moved weights; row v gives W_enc = 0.05·a_m·v_m (a_m the mean length of live encoder vectors), W_dec = v_m/‖v_m‖, b_enc = 0, moments 0.
/// </summary>
public sealed class Resampling(Crosscoder crosscoder, TrainingState state, long every, long seed) : IDisposable
{
    const float Active = 1e-4f;
    const double EncoderShare = 0.05;
    const ulong Stream = 3;

    SparseCode? _code;
    Matrix? _recon_BE;

    /// <summary>Counts a batch by its sparse code.</summary>
    public void Observe(SparseCode code)
    {
        Span<int> start = code.LatentStart.Span<int>();
        Span<float> value = code.PairValue.Span<float>(), scale = crosscoder.Scale_L.Row(0);
        long[] silent = state.SilentSteps!;
        for (int j = 0; j < silent.Length; j++)
        {
            silent[j]++;
            for (int i = start[j]; i < start[j + 1]; i++)
            {
                silent[j] = value[i] * scale[j] > Active ? 0 : silent[j];
            }
        }
    }

    /// <summary>Counts a batch by its dense code.</summary>
    public void Observe(Matrix code_BL)
    {
        Span<float> scale = crosscoder.Scale_L.Row(0);
        long[] silent = state.SilentSteps!;
        for (int j = 0; j < silent.Length; j++)
        {
            silent[j]++;
        }

        for (int b = 0; b < code_BL.Rows; b++)
        {
            Span<float> code_L = code_BL.Row(b);
            for (int j = 0; j < silent.Length; j++)
            {
                silent[j] = code_L[j] * scale[j] > Active ? 0 : silent[j];
            }
        }
    }

    /// <summary>Resamples where this step is due. The batch is the one that was just trained on.</summary>
    public void Run(Matrix acts_BE)
    {
        if (state.Step % every != 0)
        {
            return;
        }

        int[] dead = [.. Enumerable.Range(0, crosscoder.Latents).Where(j => state.SilentSteps![j] > every / 2.0)];
        if (dead.Length == 0)
        {
            return;
        }

        int[] rows = Draw(acts_BE, dead.Length);
        double[] length_M = LiveLengths(dead);
        for (int i = 0; i < rows.Length; i++)
        {
            Begin(dead[i], acts_BE.Row(rows[i]), length_M);
        }

        crosscoder.RefreshNorms();
    }

    public void Dispose()
    {
        _code?.Dispose();
        _recon_BE?.Buffer.Dispose();
    }

    /// <summary>At most <paramref name="count"/> rows, without replacement: those whose exponential clocks, of rate w_b, ring first.</summary>
    int[] Draw(Matrix acts_BE, int count)
    {
        _code ??= crosscoder.NewCode(acts_BE.Rows);
        _recon_BE ??= crosscoder.Backend.Matrix(acts_BE.Rows, crosscoder.E);
        crosscoder.EncodeNormalised(acts_BE, _code);
        crosscoder.DecodeNormalised(_code, _recon_BE.Value);
        double[] clock_B = new double[acts_BE.Rows];
        for (int b = 0; b < clock_B.Length; b++)
        {
            double weight = Weight(acts_BE.Row(b), _recon_BE.Value.Row(b));
            double uniform = 1 - Draws.Uniform((ulong)seed, Stream, (ulong)state.Step, (ulong)b);
            clock_B[b] = weight > 0 ? -Math.Log(uniform) / weight : double.PositiveInfinity;
        }

        return [.. Enumerable.Range(0, clock_B.Length).Where(b => double.IsFinite(clock_B[b])).OrderBy(b => clock_B[b]).Take(count)];
    }

    double Weight(ReadOnlySpan<float> acts_E, ReadOnlySpan<float> recon_E)
    {
        double lengths = 0;
        for (int m = 0; m < crosscoder.Models; m++)
        {
            double square = 0;
            for (int e = crosscoder.ModelOffsets[m]; e < crosscoder.ModelOffsets[m + 1]; e++)
            {
                double error = (double)acts_E[e] - recon_E[e];
                square += error * error;
            }

            lengths += Math.Sqrt(square);
        }

        double mean = lengths / crosscoder.Models;
        return mean * mean;
    }

    /// <summary>a_m: mean length of the encoder vectors of latents that live; of all where none does.</summary>
    double[] LiveLengths(int[] dead)
    {
        HashSet<int> gone = dead.Length == crosscoder.Latents ? [] : [.. dead];
        double[] length_M = new double[crosscoder.Models];
        for (int j = 0; j < crosscoder.Latents; j++)
        {
            for (int m = 0; m < length_M.Length && !gone.Contains(j); m++)
            {
                length_M[m] += Length(crosscoder.WEnc_LE.Row(j)[crosscoder.ModelOffsets[m]..crosscoder.ModelOffsets[m + 1]]) / (crosscoder.Latents - gone.Count);
            }
        }

        return length_M;
    }

    void Begin(int latent, ReadOnlySpan<float> acts_E, double[] length_M)
    {
        for (int m = 0; m < length_M.Length; m++)
        {
            int first = crosscoder.ModelOffsets[m], end = crosscoder.ModelOffsets[m + 1];
            double length = Length(acts_E[first..end]);
            bool reads = crosscoder.Masks?.Reads(latent, m) ?? true, writes = crosscoder.Masks?.Writes(latent, m) ?? true;
            for (int e = first; e < end; e++)
            {
                crosscoder.WEnc_LE.Row(latent)[e] = reads ? (float)(acts_E[e] * length_M[m] * EncoderShare) : 0;
                crosscoder.WDec_LE.Row(latent)[e] = writes && length > 0 ? (float)(acts_E[e] / length) : 0;
            }
        }

        crosscoder.BEnc_L.Row(0)[latent] = 0;
        foreach (Matrix moment in (ReadOnlySpan<Matrix>)[state.EncM_LE, state.EncV_LE, state.DecM_LE, state.DecV_LE])
        {
            moment.Row(latent).Clear();
        }

        state.BiasM_L.Row(0)[latent] = 0;
        state.BiasV_L.Row(0)[latent] = 0;
    }

    static double Length(ReadOnlySpan<float> vector)
    {
        double sum = 0;
        foreach (float x in vector)
        {
            sum += (double)x * x;
        }

        return Math.Sqrt(sum);
    }
}
