using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;

namespace Diffract.Compute.Reference;

/// <summary>The oracle of the crosscoder: encoding and selection here, gradients and updates beside. Double accumulation, single storage.</summary>
public sealed partial class ReferenceCrosscoderKernels : ICrosscoderKernels
{
    public void EncodeSelect(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, Selection selection, SparseCode code)
    {
        CheckEncoder(nameof(EncodeSelect), acts_BE, wEnc_LE, bEnc_L, code.Latents);
        ShapeException.Check(
            selection.Rule != SelectionRule.ThresholdEach || selection.Threshold_L?.Columns == code.Latents,
            nameof(EncodeSelect),
            "a threshold for each latent",
            $"{selection.Threshold_L} for {code.Latents} latents");
        List<Pair> pairs = [];
        for (int j = 0; j < wEnc_LE.Rows; j++)
        {
            for (int b = 0; b < acts_BE.Rows; b++)
            {
                float p = Preactivation(acts_BE.Row(b), wEnc_LE.Row(j), bEnc_L.Row(0)[j]);
                float q = p * scale_L.Row(0)[j];
                bool active = selection.Rule switch
                {
                    SelectionRule.Threshold => q > selection.Threshold,
                    SelectionRule.ThresholdEach => q > Math.Max(0, selection.Threshold_L!.Value.Row(0)[j]),
                    SelectionRule.BatchTopK => q > 0,
                    _ => true,
                };
                if (p > 0 && active)
                {
                    pairs.Add(new Pair(j, b, p, q));
                }
            }
        }

        if (selection.Rule == SelectionRule.BatchTopK)
        {
            pairs = [.. pairs.OrderByDescending(x => x.Q).ThenBy(x => x.Latent).ThenBy(x => x.Token).Take(selection.Count)];
        }

        Store(pairs, acts_BE.Rows, code);
    }

    public void EncodeSelectByModel(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix norms_LM, int[] modelOffsets, ReadOnlySpan<Selection> byModel, SparseCode code)
    {
        ShapeException.Check(
            norms_LM.Rows == wEnc_LE.Rows && norms_LM.Columns == byModel.Length && modelOffsets.Length == byModel.Length + 1,
            nameof(EncodeSelectByModel),
            "norms [L, M], offsets [M + 1], a rule for each model",
            $"norms {norms_LM}, {modelOffsets.Length} offsets, {byModel.Length} rules");
        Dictionary<(int Latent, int Token), (float P, int Models)> active = [];
        float[] smallest = new float[byModel.Length];
        for (int m = 0; m < byModel.Length; m++)
        {
            Matrix scale_L = Matrix.Host(1, wEnc_LE.Rows);
            for (int j = 0; j < wEnc_LE.Rows; j++)
            {
                scale_L.Row(0)[j] = norms_LM.Row(j)[m];
            }

            EncodeSelect(acts_BE, wEnc_LE, bEnc_L, scale_L, byModel[m], code);
            smallest[m] = code.SmallestScaled;
            for (int j = 0; j < code.Latents; j++)
            {
                for (int i = code.LatentStart.Span<int>()[j]; i < code.LatentStart.Span<int>()[j + 1]; i++)
                {
                    (int, int) pair = (j, code.PairToken.Span<int>()[i]);
                    active[pair] = (code.PairValue.Span<float>()[i], active.GetValueOrDefault(pair).Models | 1 << m);
                }
            }

            scale_L.Buffer.Dispose();
        }

        Store([.. active.Select(a => new Pair(a.Key.Latent, a.Key.Token, a.Value.P, 0))], acts_BE.Rows, code);
        code.Decouple(modelOffsets);
        smallest.CopyTo(code.SmallestByModel, 0);
        code.SmallestScaled = smallest.Min();
        for (int j = 0; j < code.Latents; j++)
        {
            for (int i = code.LatentStart.Span<int>()[j]; i < code.LatentStart.Span<int>()[j + 1]; i++)
            {
                code.PairModels!.Span<int>()[i] = active[(j, code.PairToken.Span<int>()[i])].Models;
            }
        }
    }

    public long EncodeDense(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix code_BL, Matrix? sum_L = null)
    {
        CheckEncoder(nameof(EncodeDense), acts_BE, wEnc_LE, bEnc_L, code_BL.Columns);
        long active = 0;
        for (int b = 0; b < acts_BE.Rows; b++)
        {
            for (int j = 0; j < wEnc_LE.Rows; j++)
            {
                float f = Preactivation(acts_BE.Row(b), wEnc_LE.Row(j), bEnc_L.Row(0)[j]);
                code_BL.Row(b)[j] = f;
                active += f > 0 ? 1 : 0;
            }
        }

        if (sum_L is { } sum)
        {
            ColumnSums(code_BL, sum);
        }

        return active;
    }

    public void SelectDead(Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, Matrix scale_L, ReadOnlySpan<int> latents, int perToken, SparseCode code)
    {
        CheckEncoder(nameof(SelectDead), acts_BE, wEnc_LE, bEnc_L, code.Latents);
        List<Pair> pairs = [];
        List<Pair> ofToken = [];
        for (int b = 0; b < acts_BE.Rows; b++)
        {
            ofToken.Clear();
            foreach (int j in latents)
            {
                float p = Preactivation(acts_BE.Row(b), wEnc_LE.Row(j), bEnc_L.Row(0)[j]);
                ofToken.Add(new Pair(j, b, p, p * scale_L.Row(0)[j]));
            }

            pairs.AddRange(ofToken.OrderByDescending(x => x.Q).ThenBy(x => x.Latent).Take(perToken).Where(x => x.P > 0));
        }

        Store(pairs, acts_BE.Rows, code);
    }

    public void Decode(SparseCode code, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE)
    {
        ShapeException.Check(
            wDec_LE.Rows == code.Latents && recon_BE.Rows == code.Tokens && recon_BE.Columns == wDec_LE.Columns,
            nameof(Decode),
            "a decoder row for each latent, a reconstruction for each token",
            $"code of {code.Tokens} tokens and {code.Latents} latents, decoder {wDec_LE}, reconstruction {recon_BE}");
        Span<int> start = code.TokenStart.Span<int>();
        Span<int> latent = code.TokenLatent.Span<int>();
        Span<int> pair = code.TokenPairs.Span<int>();
        Span<float> value = code.PairValue.Span<float>();
        Span<double> sums = stackalloc double[Shards(code.Latents, code.ShardSize)];
        for (int b = 0; b < code.Tokens; b++)
        {
            for (int e = 0; e < recon_BE.Columns; e++)
            {
                sums.Clear();
                for (int i = start[b]; i < start[b + 1]; i++)
                {
                    sums[latent[i] / code.ShardSize] += ActiveAt(code, pair[i], e) ? (double)value[pair[i]] * wDec_LE.Row(latent[i])[e] : 0;
                }

                recon_BE.Row(b)[e] = AddShards(sums) + (bDec_E is { } bias ? bias.Row(0)[e] : 0);
            }
        }
    }

    public void DecodeDense(Matrix code_BL, Matrix wDec_LE, Matrix? bDec_E, Matrix recon_BE)
    {
        ShapeException.Check(
            wDec_LE.Rows == code_BL.Columns && recon_BE.Rows == code_BL.Rows && recon_BE.Columns == wDec_LE.Columns,
            nameof(DecodeDense),
            "a decoder row for each latent, a reconstruction for each token",
            $"code {code_BL}, decoder {wDec_LE}, reconstruction {recon_BE}");
        int size = VirtualShards.Size(code_BL.Columns);
        Span<double> sums = stackalloc double[Shards(code_BL.Columns, size)];
        for (int b = 0; b < code_BL.Rows; b++)
        {
            for (int e = 0; e < recon_BE.Columns; e++)
            {
                sums.Clear();
                for (int j = 0; j < wDec_LE.Rows; j++)
                {
                    sums[j / size] += (double)code_BL.Row(b)[j] * wDec_LE.Row(j)[e];
                }

                recon_BE.Row(b)[e] = AddShards(sums) + (bDec_E is { } bias ? bias.Row(0)[e] : 0);
            }
        }
    }

    public void CodeSums(SparseCode code, Matrix sum_L)
    {
        Span<int> start = code.LatentStart.Span<int>();
        Span<float> value = code.PairValue.Span<float>();
        for (int j = 0; j < code.Latents; j++)
        {
            double sum = 0;
            for (int i = start[j]; i < start[j + 1]; i++)
            {
                sum += value[i];
            }

            sum_L.Row(0)[j] = (float)sum;
        }
    }

    /// <summary>True where a pair is active in the model that a column belongs to.</summary>
    static bool ActiveAt(SparseCode code, int pair, int column)
        => code.ModelOffsets is not { } offsets || (code.PairModels!.Span<int>()[pair] >> ModelOf(offsets, column) & 1) != 0;

    static int ModelOf(int[] offsets, int column) => Array.FindLastIndex(offsets, o => o <= column);

    /// <summary>A shard's sum is rounded once, where a process would send it; + 0 because it is never -0.</summary>
    static float AddShards(ReadOnlySpan<double> sums)
    {
        Span<float> rounded = stackalloc float[sums.Length];
        for (int i = 0; i < sums.Length; i++)
        {
            rounded[i] = (float)sums[i] + 0f;
        }

        return VirtualShards.Add(rounded);
    }

    /// <summary>Shards that hold latents.</summary>
    static int Shards(int latents, int size) => (latents + size - 1) / size;

    /// <summary>p = ReLU(⟨acts, wEnc⟩ + bEnc); NaN counts as 0.</summary>
    static float Preactivation(ReadOnlySpan<float> acts_E, ReadOnlySpan<float> wEnc_E, float bias)
    {
        float p = (float)(Dot(acts_E, wEnc_E) + bias);
        return p > 0 ? p : 0;
    }

    static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += (double)a[i] * b[i];
        }

        return sum;
    }

    /// <summary>Writes pairs into a code, in both orders.</summary>
    static void Store(List<Pair> pairs, int tokens, SparseCode code)
    {
        ShapeException.Check(tokens <= code.MaxTokens, nameof(EncodeSelect), "a batch no larger than the code's", $"{tokens} tokens for {code.MaxTokens}");
        Pair[] byLatent = [.. pairs.OrderBy(x => x.Latent).ThenBy(x => x.Token)];
        code.Reserve(byLatent.Length);
        code.Decouple(null);
        code.Tokens = tokens;
        code.Pairs = byLatent.Length;
        code.SmallestScaled = byLatent.Length == 0 ? 0 : byLatent.Min(x => x.Q);
        Span<int> latentStart = code.LatentStart.Span<int>();
        Span<int> tokenStart = code.TokenStart.Span<int>();
        latentStart.Clear();
        tokenStart.Clear();
        for (int i = 0; i < byLatent.Length; i++)
        {
            code.PairToken.Span<int>()[i] = byLatent[i].Token;
            code.PairValue.Span<float>()[i] = byLatent[i].P;
            latentStart[byLatent[i].Latent + 1]++;
            tokenStart[byLatent[i].Token + 1]++;
        }

        for (int j = 0; j < code.Latents; j++)
        {
            latentStart[j + 1] += latentStart[j];
        }

        for (int b = 0; b < tokens; b++)
        {
            tokenStart[b + 1] += tokenStart[b];
        }

        int[] byToken = [.. Enumerable.Range(0, byLatent.Length).OrderBy(i => byLatent[i].Token).ThenBy(i => byLatent[i].Latent)];
        for (int i = 0; i < byToken.Length; i++)
        {
            code.TokenPairs.Span<int>()[i] = byToken[i];
            code.TokenLatent.Span<int>()[i] = byLatent[byToken[i]].Latent;
        }
    }

    static void CheckEncoder(string operation, Matrix acts_BE, Matrix wEnc_LE, Matrix bEnc_L, int latents)
        => ShapeException.Check(
            acts_BE.Columns == wEnc_LE.Columns && bEnc_L.Columns == wEnc_LE.Rows && latents == wEnc_LE.Rows,
            operation,
            "encoder rows as wide as the activations, a bias and a code column for each",
            $"activations {acts_BE}, encoder {wEnc_LE}, bias {bEnc_L}, code of {latents} latents");

    readonly record struct Pair(int Latent, int Token, float P, float Q);
}
