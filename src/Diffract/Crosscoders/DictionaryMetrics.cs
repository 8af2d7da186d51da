using System.Text.Json.Nodes;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Crosscoders;

/// <summary>
/// What a dictionary makes of activations, as the published evaluator measures it (spec 3.8), over all tokens that are added: of the models end to end, and of each. Sums in double; the variance is pooled, n - 1 cancels.
/// </summary>
public sealed class DictionaryMetrics
{
    readonly Crosscoder _crosscoder;
    readonly bool[] _alive_L;
    readonly Part[] _parts;
    long _tokens;
    long _pairs;
    double _l1;

    public DictionaryMetrics(Crosscoder crosscoder)
    {
        _crosscoder = crosscoder;
        _alive_L = new bool[crosscoder.Latents];
        int[] offsets = crosscoder.ModelOffsets;
        _parts = [new Part(0, crosscoder.E), .. Enumerable.Range(0, crosscoder.Models).Select(m => new Part(offsets[m], offsets[m + 1]))];
    }

    /// <summary>Adds a batch.</summary>
    public void Add(Matrix acts_BE, Matrix recon_BE, SparseCode code)
    {
        _tokens += code.Tokens;
        _pairs += code.Pairs;
        foreach (float value in code.PairValue.Span<float>()[..code.Pairs])
        {
            _l1 += value;
        }

        ReadOnlySpan<int> start = code.LatentStart.Span<int>();
        for (int j = 0; j < _alive_L.Length; j++)
        {
            _alive_L[j] |= start[j + 1] > start[j];
        }

        for (int b = 0; b < code.Tokens; b++)
        {
            foreach (Part part in _parts)
            {
                part.Add(acts_BE.Row(b), recon_BE.Row(b));
            }
        }
    }

    /// <summary>Names of the published evaluator; <c>models</c> by model.</summary>
    public JsonObject ToJson()
    {
        JsonObject json = _parts[0].ToJson(_tokens);
        json["tokens"] = _tokens;
        json["l0"] = (double)_pairs / _tokens;
        json["l1_loss"] = _l1 / _tokens;
        json["frac_alive"] = _alive_L.Count(a => a) / (double)_crosscoder.Latents;
        json["models"] = new JsonArray([.. _parts.Skip(1).Select(p => (JsonNode)p.ToJson(_tokens))]);
        return json;
    }

    /// <summary>The columns of one model, or of all.</summary>
    sealed class Part(int first, int end)
    {
        readonly double[] _sum_D = new double[end - first];
        readonly double[] _residual_D = new double[end - first];
        double _squares;
        double _residualSquares;
        double _length;
        double _cosine;
        double _ratio;
        double _reconSquares;
        double _products;

        public void Add(ReadOnlySpan<float> acts_E, ReadOnlySpan<float> recon_E)
        {
            double xx = 0, rr = 0, xr = 0, ee = 0;
            for (int d = first; d < end; d++)
            {
                double x = acts_E[d], r = recon_E[d], e = x - r;
                (xx, rr, xr, ee) = (xx + x * x, rr + r * r, xr + x * r, ee + e * e);
                _sum_D[d - first] += x;
                _residual_D[d - first] += e;
            }

            (_squares, _residualSquares, _length, _reconSquares, _products) = (_squares + xx, _residualSquares + ee, _length + Math.Sqrt(ee), _reconSquares + rr, _products + xr);
            _cosine += xr / (Math.Sqrt(xx) * Math.Sqrt(rr));
            _ratio += Math.Sqrt(rr) / Math.Sqrt(xx);
        }

        public JsonObject ToJson(long tokens)
        {
            double Spread(double squares, double[] sum_D) => squares - sum_D.Sum(s => s * s) / tokens;
            return new JsonObject
            {
                ["l2_loss"] = _length / tokens,
                ["frac_variance_explained"] = 1 - Spread(_residualSquares, _residual_D) / Spread(_squares, _sum_D),
                ["cossim"] = _cosine / tokens,
                ["l2_ratio"] = _ratio / tokens,
                ["relative_reconstruction_bias"] = _reconSquares / _products,
            };
        }
    }
}
