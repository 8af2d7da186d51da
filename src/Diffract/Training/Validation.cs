using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>Measures a crosscoder on held-out rows. It reads the crosscoder and nothing else of the training, so it has no side effects.</summary>
public sealed class Validation
{
    /// <summary>A latent is specific to a model when its relative norm for that model is above this.</summary>
    const double Specific = 0.9;

    readonly IBatchSource _rows;
    readonly long _batches;
    readonly int _batch;

    /// <param name="rows">Held-out rows.</param>
    /// <param name="tokens">Most rows to look at; whole batches of them.</param>
    /// <param name="batch">Rows of a batch, 4096 in the reference library; fewer when there are fewer rows.</param>
    public Validation(IBatchSource rows, long tokens, int batch = 4096)
    {
        long there = Math.Min(tokens, rows.DistinctTokens);
        if (there < 2)
        {
            throw new DiffractException($"{there} held-out tokens are too few to validate on; wanted at least 2");
        }

        _rows = rows;
        _batch = (int)Math.Min(batch, there);
        _batches = there / _batch;
    }

    /// <summary>Looks at every batch once.</summary>
    public ValidationResult Run(Crosscoder crosscoder, CancellationToken stop = default)
    {
        IBackend backend = crosscoder.Backend;
        Matrix acts_BE = backend.Matrix(_batch, crosscoder.E);
        Matrix recon_BE = backend.Matrix(_batch, crosscoder.E);
        using SparseCode code = crosscoder.NewCode(_batch);
        Matrix sum_L = backend.Matrix(1, crosscoder.Latents);
        Totals totals = new(crosscoder);
        for (long i = 0; i < _batches; i++)
        {
            stop.ThrowIfCancellationRequested();
            _rows.Fill(i, acts_BE);
            if (crosscoder.Normalisation is not null)
            {
                crosscoder.Normalise(acts_BE, acts_BE);
            }

            crosscoder.EncodeNormalised(acts_BE, code);
            crosscoder.DecodeNormalised(code, recon_BE);
            backend.Crosscoder.CodeSums(code, sum_L);
            totals.Add(acts_BE, recon_BE, sum_L, code);
        }

        foreach (Matrix matrix in (ReadOnlySpan<Matrix>)[acts_BE, recon_BE, sum_L])
        {
            matrix.Buffer.Dispose();
        }

        return totals.Result();
    }

    /// <summary>For each model, latents with ½((2n_m - Σn)/max(n_m, Σn - n_m) + 1) above 0.9, n the decoder norms.</summary>
    static int[] SpecificLatents(Crosscoder crosscoder)
    {
        int[] counts = new int[crosscoder.Models];
        for (int j = 0; j < crosscoder.Latents; j++)
        {
            Span<float> norms = crosscoder.Norms_LM.Row(j);
            double sum = 0;
            foreach (float n in norms)
            {
                sum += n;
            }

            for (int m = 0; m < norms.Length; m++)
            {
                double relative = ((2 * norms[m] - sum) / Math.Max(norms[m], sum - norms[m]) + 1) / 2;
                counts[m] += relative > Specific ? 1 : 0;
            }
        }

        return counts;
    }

    sealed class Totals(Crosscoder crosscoder)
    {
        readonly Moments _all = new(crosscoder.E);
        readonly Moments _batch = new(crosscoder.E);
        readonly bool[] _fired = new bool[crosscoder.Latents];
        long _tokens;
        long _pairs;
        long _batches;
        double _fve;
        readonly double[] _norms_M = new double[crosscoder.Models];
        readonly double[] _squares_M = new double[crosscoder.Models];
        double _sparsity;

        public void Add(Matrix acts_BE, Matrix recon_BE, Matrix sum_L, SparseCode code)
        {
            _batch.Clear();
            _batch.Add(acts_BE, recon_BE);
            _all.Add(_batch);
            _fve += _batch.Explained(0, crosscoder.E);
            _batches++;
            _tokens += acts_BE.Rows;
            _pairs += code.Pairs;
            for (int m = 0; m < crosscoder.Models; m++)
            {
                int first = crosscoder.ModelOffsets[m], width = crosscoder.ModelOffsets[m + 1] - first;
                ResidualSums sums = crosscoder.Backend.Crosscoder.Residual(acts_BE.SliceColumns(first, width), recon_BE.SliceColumns(first, width), [0, width], false, null, null);
                _norms_M[m] += sums.NormSum;
                _squares_M[m] += sums.SquareSum;
            }

            Span<float> sum = sum_L.Row(0);
            Span<float> scale = crosscoder.Scale_L.Row(0);
            for (int j = 0; j < sum.Length; j++)
            {
                _fired[j] |= sum[j] > 0;
                _sparsity += crosscoder.Decoupled ? 0 : (double)sum[j] * scale[j];
            }

            if (crosscoder.Decoupled)
            {
                _sparsity += ByModel(code);
            }
        }

        /// <summary>Σ f·‖d_m‖ over the models in which each pair is active.</summary>
        double ByModel(SparseCode code)
        {
            double sum = 0;
            Span<int> start = code.LatentStart.Span<int>(), active = code.PairModels!.Span<int>();
            for (int j = 0; j < code.Latents; j++)
            {
                Span<float> norms = crosscoder.Norms_LM.Row(j);
                for (int i = start[j]; i < start[j + 1]; i++)
                {
                    for (int m = 0; m < norms.Length; m++)
                    {
                        sum += (active[i] >> m & 1) != 0 ? (double)code.PairValue.Span<float>()[i] * norms[m] : 0;
                    }
                }
            }

            return sum;
        }

        public ValidationResult Result()
        {
            double cells = (double)_tokens * crosscoder.Models;
            int[] offsets = crosscoder.ModelOffsets;
            return new ValidationResult(
                _tokens,
                _all.Explained(0, crosscoder.E),
                _fve / _batches,
                [.. Enumerable.Range(0, crosscoder.Models).Select(m => _all.Explained(offsets[m], offsets[m + 1]))],
                (double)_pairs / _tokens,
                (double)_fired.Count(f => !f) / crosscoder.Latents,
                _norms_M.Sum() / cells,
                _squares_M.Sum() / cells,
                _sparsity / _tokens,
                SpecificLatents(crosscoder))
            {
                L2ByModel = [.. _norms_M.Select(n => n / _tokens)],
                MseByModel = [.. _squares_M.Select(s => s / _tokens)],
            };
        }
    }

    /// <summary>Count, means and summed squares about the mean, of activations and of errors, by column; merged as Chan et al. do, in double.</summary>
    sealed class Moments(int width)
    {
        readonly double[] _mean_E = new double[width];
        readonly double[] _square_E = new double[width];
        readonly double[] _errorMean_E = new double[width];
        readonly double[] _errorSquare_E = new double[width];
        long _count;

        public void Clear()
        {
            _count = 0;
            foreach (double[] values in (ReadOnlySpan<double[]>)[_mean_E, _square_E, _errorMean_E, _errorSquare_E])
            {
                Array.Clear(values);
            }
        }

        public void Add(Matrix acts_BE, Matrix recon_BE)
        {
            for (int b = 0; b < acts_BE.Rows; b++)
            {
                _count++;
                ReadOnlySpan<float> acts_E = acts_BE.Row(b);
                ReadOnlySpan<float> recon_E = recon_BE.Row(b);
                for (int e = 0; e < acts_E.Length; e++)
                {
                    Welford(acts_E[e], ref _mean_E[e], ref _square_E[e], _count);
                    Welford((double)acts_E[e] - recon_E[e], ref _errorMean_E[e], ref _errorSquare_E[e], _count);
                }
            }
        }

        public void Add(Moments other)
        {
            long count = _count + other._count;
            Merge(_mean_E, _square_E, other._mean_E, other._square_E, _count, other._count);
            Merge(_errorMean_E, _errorSquare_E, other._errorMean_E, other._errorSquare_E, _count, other._count);
            _count = count;
        }

        /// <summary>1 - Σ Var(error) / Σ Var(x) over the columns first .. end - 1; both have the same n - 1.</summary>
        public double Explained(int first, int end)
        {
            double error = 0;
            double all = 0;
            for (int e = first; e < end; e++)
            {
                error += _errorSquare_E[e];
                all += _square_E[e];
            }

            return 1 - error / all;
        }

        static void Welford(double value, ref double mean, ref double square, long count)
        {
            double off = value - mean;
            mean += off / count;
            square += off * (value - mean);
        }

        static void Merge(double[] mean, double[] square, double[] otherMean, double[] otherSquare, long count, long otherCount)
        {
            double total = count + otherCount;
            for (int e = 0; e < mean.Length; e++)
            {
                double off = otherMean[e] - mean[e];
                mean[e] += off * otherCount / total;
                square[e] += otherSquare[e] + off * off * count * otherCount / total;
            }
        }
    }
}
