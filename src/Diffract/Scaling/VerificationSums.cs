using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Latents;

namespace Diffract.Scaling;

/// <summary>
/// Squared lengths before and after, from a few products a pair: ‖y - βfv‖² = ‖y‖² - 2βf⟨y, v⟩ + β²f²‖v‖², and for the error target y = e + f_m d_m. Tokens on which a latent is silent give ‖y‖² of the whole, which is summed once.
/// A latent is summed by one thread in token order.
/// </summary>
sealed class VerificationSums
{
    readonly LooseCodes _codes;
    readonly RawDecoder _raw;
    readonly ScalingDirections _directions;
    readonly LatentProducts _products;
    readonly int[] _latents;
    readonly (TargetKind Kind, int Model, string Name)[] _targets;
    readonly double[][] _beta_TL;
    readonly float[] _max_L;
    readonly double[] _edges;
    readonly double[] _decoderSquared_LM;
    readonly Moments[] _whole_T;
    readonly Cell[][] _cells_TL;

    public VerificationSums(
        LooseCodes codes, RawDecoder raw, ScalingDirections directions, int[] latents, (TargetKind Kind, int Model, string Name)[] targets, double[][] beta_TL, float[] max_L, double[] edges)
    {
        (_codes, _raw, _directions, _latents, _targets, _beta_TL, _max_L, _edges) = (codes, raw, directions, latents, targets, beta_TL, max_L, edges);
        bool sae = codes.Crosscoder.Config.Sae;
        _products = new LatentProducts(directions.Vectors_LD, directions.Remainder_LD, sae ? null : raw.WDec_LE, sae ? null : raw.BDec_E, codes.Input.PairOffsets);
        _decoderSquared_LM = new double[sae ? 0 : codes.Crosscoder.Latents * 2];
        for (int i = 0; i < _decoderSquared_LM.Length; i++)
        {
            ReadOnlySpan<float> d_D = Part(raw.WDec_LE, i / 2, i % 2);
            _decoderSquared_LM[i] = i % 2 == 1 ? _products.DirectionSquared(i / 2) : LatentVectors.Dot(d_D, d_D);
        }

        _whole_T = [.. targets.Select(_ => new Moments())];
        _cells_TL = [.. targets.Select(_ => latents.Select(_ => new Cell(edges.Length + 1)).ToArray())];
    }

    /// <summary>Adds a batch.</summary>
    public void Add(Matrix acts_BE, Matrix recon_BE, SparseCode code)
    {
        double[][] silent_TB = [.. _targets.Select(t => Silent(t.Kind, t.Model, acts_BE, recon_BE))];
        for (int t = 0; t < _targets.Length; t++)
        {
            Array.ForEach(silent_TB[t], _whole_T[t].Add);
        }

        int? model = _codes.Crosscoder.Decoupled ? _codes.Input.CodeModel : null;
        Parallel.For(0, _latents.Length, i =>
        {
            int j = _latents[i];
            double[] onActs = new double[2], onRecon = new double[2], onOwn = new double[2];
            for (int p = code.LatentStart.Span<int>()[j]; p < code.LatentStart.Span<int>()[j + 1]; p++)
            {
                int b = code.PairToken.Span<int>()[p], active = model is null ? 3 : code.PairModels!.Span<int>()[p];
                double f = code.PairValue.Span<float>()[p];
                if (model is { } taken && (active >> taken & 1) == 0)
                {
                    continue;
                }

                for (int m = 0; m < 2; m++)
                {
                    onActs[m] = OnDirection(acts_BE, b, m, j);
                    if (!_codes.Crosscoder.Config.Sae)
                    {
                        onRecon[m] = OnDirection(recon_BE, b, m, j);
                        // A direction stands for the chat model's decoder row.
                        onOwn[m] = m == 1 ? onActs[m] - onRecon[m] : LatentVectors.Dot(Part(acts_BE, b, m), Part(_raw.WDec_LE, j, m)) - LatentVectors.Dot(Part(recon_BE, b, m), Part(_raw.WDec_LE, j, m));
                    }
                }

                for (int t = 0; t < _targets.Length; t++)
                {
                    (TargetKind kind, int m, _) = _targets[t];
                    double own = (active >> m & 1) != 0 ? f : 0, silent = silent_TB[t][b];
                    double before = kind == TargetKind.Error ? silent + 2 * own * onOwn[m] + own * own * _decoderSquared_LM[j * 2 + m] : silent;
                    double onV = kind switch
                    {
                        TargetKind.Activation => onActs[m],
                        TargetKind.ActivationNoBias => onActs[m] - _products.OnBias(j, m),
                        TargetKind.Reconstruction => onRecon[m],
                        _ => onActs[m] - onRecon[m] + own * _products.OnDecoder(j, m),
                    };
                    double beta = _beta_TL[t][i], after = before - 2 * beta * f * onV + beta * beta * f * f * _products.DirectionSquared(j);
                    _cells_TL[t][i].Add(Bucket(f / _max_L[j]), silent, before, after);
                }
            }
        });
    }

    /// <summary>Share of the latents with a beta whose mean squared length is smaller after, over some targets.</summary>
    public double Better(int first, int count)
    {
        (double Before, double After)[] all = [.. Enumerable.Range(first, count).SelectMany(t => _cells_TL[t].Select(c => (c.Whole(_whole_T[t], after: false).Mean, c.Whole(_whole_T[t], after: true).Mean))).Where(x => !double.IsNaN(x.Item2))];
        return all.Length == 0 ? double.NaN : all.Count(x => x.After < x.Before) / (double)all.Length;
    }

    public JsonObject ToJson(int target)
    {
        Cell[] cells = _cells_TL[target];
        Moments whole = _whole_T[target];
        JsonArray buckets = [];
        for (int k = 0; k <= _edges.Length; k++)
        {
            int bucket = k;
            buckets.Add((JsonNode)new JsonObject
            {
                ["count"] = new JsonArray([.. cells.Select(c => (JsonNode)c.Count(bucket))]),
                ["mse_before"] = Numbers(c => c.Mean(bucket, after: false)),
                ["mse_after"] = Numbers(c => c.Mean(bucket, after: true)),
            });
        }

        return new JsonObject
        {
            ["mse_before"] = Numbers(c => c.Whole(whole, after: false).Mean),
            ["mse_before_variance"] = Numbers(c => c.Whole(whole, after: false).Variance),
            ["mse_after"] = Numbers(c => c.Whole(whole, after: true).Mean),
            ["mse_after_variance"] = Numbers(c => c.Whole(whole, after: true).Variance),
            ["buckets"] = buckets,
        };

        JsonArray Numbers(Func<Cell, double> of) => [.. cells.Select(c => (JsonNode)of(c))];
    }

    /// <summary>‖y‖² of each token for a latent that is silent on it.</summary>
    double[] Silent(TargetKind kind, int model, Matrix acts_BE, Matrix recon_BE)
    {
        double[] squares_B = new double[acts_BE.Rows];
        for (int b = 0; b < squares_B.Length; b++)
        {
            ReadOnlySpan<float> h = Part(acts_BE, b, model), r = Part(recon_BE, b, model);
            for (int d = 0; d < h.Length; d++)
            {
                double y = kind switch
                {
                    TargetKind.Activation => h[d],
                    TargetKind.ActivationNoBias => (double)h[d] - Part(_raw.BDec_E, 0, model)[d],
                    TargetKind.Reconstruction => r[d],
                    _ => (double)h[d] - r[d],
                };
                squares_B[b] += y * y;
            }
        }

        return squares_B;
    }

    double OnDirection(Matrix y_BE, int row, int model, int latent)
        => LatentVectors.Dot(Part(y_BE, row, model), _directions.Vectors_LD.Row(latent)) + (_directions.Remainder_LD is { } low ? LatentVectors.Dot(Part(y_BE, row, model), low.Row(latent)) : 0);

    ReadOnlySpan<float> Part(Matrix matrix, int row, int model) => matrix.Row(row)[_codes.Input.PairOffsets[model].._codes.Input.PairOffsets[model + 1]];

    int Bucket(double share)
    {
        int bucket = 0;
        while (bucket < _edges.Length && _edges[bucket] < share)
        {
            bucket++;
        }

        return bucket;
    }

    /// <summary>Sums of a number and of its square.</summary>
    sealed class Moments
    {
        public double Count { get; private set; }

        public double Sum { get; private set; }

        public double Squares { get; private set; }

        public double Mean => Sum / Count;

        public double Variance => Math.Max(0, Squares / Count - Mean * Mean);

        public void Add(double value) => (Count, Sum, Squares) = (Count + 1, Sum + value, Squares + value * value);

        /// <summary>These numbers with some taken out and others put in their place.</summary>
        public Moments Exchanged(Moments taken, Moments put) => new() { Count = Count, Sum = Sum - taken.Sum + put.Sum, Squares = Squares - taken.Squares + put.Squares };
    }

    /// <summary>A latent under a target: its active tokens, by bucket.</summary>
    sealed class Cell(int buckets)
    {
        readonly Moments _silent = new();
        readonly Moments _before = new();
        readonly Moments _after = new();
        readonly (Moments Before, Moments After)[] _buckets = [.. Enumerable.Range(0, buckets).Select(_ => (new Moments(), new Moments()))];

        public void Add(int bucket, double silent, double before, double after)
        {
            _silent.Add(silent);
            _before.Add(before);
            _after.Add(after);
            _buckets[bucket].Before.Add(before);
            _buckets[bucket].After.Add(after);
        }

        public long Count(int bucket) => (long)_buckets[bucket].Before.Count;

        public double Mean(int bucket, bool after) => after ? _buckets[bucket].After.Mean : _buckets[bucket].Before.Mean;

        /// <summary>Over all tokens. A latent that is never active explains nothing: NaN after.</summary>
        public Moments Whole(Moments whole, bool after) => after && _after.Count == 0 ? new Moments() : whole.Exchanged(_silent, after ? _after : _before);
    }
}
