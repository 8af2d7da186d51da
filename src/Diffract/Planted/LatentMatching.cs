using Diffract.Compute.Buffers;
using Diffract.Latents;

namespace Diffract.Planted;

/// <summary>
/// Which learned latent is which true one. Two resemble each other by the cosine of their decoder rows, both models end to end, times the cosine of their codes over the held-out tokens, Σ f·a / √(Σ f² Σ a²);
/// they fit when each of the two is large enough. Each true latent gets at most one learned one, and the other way round, so that the sum of resemblances is largest. A learned latent that is left over stands
/// for the true one it resembles most of those it fits; failing that, for the one nearest in direction of those whose tokens it fires on: it is then a part of that one.
/// </summary>
public sealed class LatentMatching
{
    /// <summary>
    /// Least cosine of the decoder rows that fit. Below √½, so that a latent which carries one model's half of a true one is still known for what it is.
    /// </summary>
    public const double LeastCosine = 0.6;

    /// <summary>Least cosine of the codes that fit.</summary>
    public const double LeastCoactivation = 0.5;

    /// <summary>Least share of Σ f² on the tokens of a true latent that makes a learned one a part of it.</summary>
    public const double LeastContained = 0.5;

    readonly double[] _cosine_NL;
    readonly double[] _coactivation_NL;

    LatentMatching(int truths, int learned, double[] cosine, double[] coactivation, double[] contained)
    {
        (Truths, Learned, _cosine_NL, _coactivation_NL) = (truths, learned, cosine, coactivation);
        double[] values = new double[cosine.Length];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = cosine[i] >= LeastCosine && coactivation[i] >= LeastCoactivation ? cosine[i] * coactivation[i] : 0;
        }

        LearnedOf = Assignment.Best(values, truths, learned);
        OfLearned = new LatentMatch[learned];
        for (int j = 0; j < learned; j++)
        {
            int best = Array.IndexOf(LearnedOf, j);
            bool assigned = best >= 0;
            if (!assigned && (best = Largest(j, at => values[at])) < 0)
            {
                best = Largest(j, at => cosine[at] >= LeastCosine && contained[at] >= LeastContained ? cosine[at] : 0);
            }

            OfLearned[j] = best < 0 ? new LatentMatch(-1, false, 0, 0) : new LatentMatch(best, assigned, Cosine(best, j), Coactivation(best, j));
        }
    }

    /// <summary>N.</summary>
    public int Truths { get; }

    /// <summary>L.</summary>
    public int Learned { get; }

    /// <summary>[N]: the learned latent assigned to each true one, -1 for none.</summary>
    public int[] LearnedOf { get; }

    /// <summary>[L].</summary>
    public LatentMatch[] OfLearned { get; }

    public double Cosine(int truth, int learned) => _cosine_NL[(truth * Learned) + learned];

    public double Coactivation(int truth, int learned) => _coactivation_NL[(truth * Learned) + learned];

    /// <summary>Matches from tables [N, L], row-major: both cosines, and the share of each learned latent's Σ f² on each true latent's tokens.</summary>
    public static LatentMatching Of(int truths, int learned, double[] cosine_NL, double[] coactivation_NL, double[] contained_NL) => new(truths, learned, cosine_NL, coactivation_NL, contained_NL);

    /// <param name="directions_NE">True decoder rows.</param>
    /// <param name="wDec_LE">[L, E] learned ones.</param>
    /// <param name="truth">True codes of the held-out documents.</param>
    /// <param name="learned">Learned codes of the same documents.</param>
    public static LatentMatching Of(ReadOnlySpan<float> directions_NE, Matrix wDec_LE, LatentActivations truth, LatentActivations learned)
    {
        int truths = directions_NE.Length / wDec_LE.Columns;
        (double[] coactivation, double[] contained) = Coactivations(truth, learned);
        return new LatentMatching(truths, wDec_LE.Rows, Cosines(directions_NE, wDec_LE), coactivation, contained);
    }

    /// <summary>The true latent with the largest value in a learned one's column, -1 where none is above 0.</summary>
    int Largest(int learned, Func<int, double> value)
    {
        int best = -1;
        for (int i = 0; i < Truths; i++)
        {
            double here = value((i * Learned) + learned);
            if (here > 0 && (best < 0 || here > value((best * Learned) + learned)))
            {
                best = i;
            }
        }

        return best;
    }

    static double[] Cosines(ReadOnlySpan<float> directions_NE, Matrix wDec_LE)
    {
        int e = wDec_LE.Columns, truths = directions_NE.Length / e, learned = wDec_LE.Rows;
        double[] cosine = new double[truths * learned];
        for (int j = 0; j < learned; j++)
        {
            ReadOnlySpan<float> row = wDec_LE.Row(j);
            double norm = Math.Sqrt(LatentVectors.Dot(row, row));
            for (int i = 0; i < truths; i++)
            {
                ReadOnlySpan<float> direction = directions_NE.Slice(i * e, e);
                double product = norm * Math.Sqrt(LatentVectors.Dot(direction, direction));
                cosine[(i * learned) + j] = product > 0 ? LatentVectors.Dot(direction, row) / product : 0;
            }
        }

        return cosine;
    }

    static (double[] Coactivation, double[] Contained) Coactivations(LatentActivations truth, LatentActivations learned)
    {
        double[] sums = new double[truth.Latents * learned.Latents], contained = new double[sums.Length], ofTruth = new double[truth.Latents], ofLearned = new double[learned.Latents];
        foreach (int document in truth.DocumentNumbers)
        {
            using IEnumerator<TokenEntry> codes = learned.OfDocument(document).GetEnumerator();
            bool more = codes.MoveNext();
            List<TokenEntry> here = [];
            int token = -1;
            foreach (TokenEntry code in truth.OfDocument(document))
            {
                ofTruth[code.Latent] += (double)code.Value * code.Value;
                if (code.Token != token)
                {
                    (token, here) = (code.Token, []);
                    for (; more && codes.Current.Token <= token; more = codes.MoveNext())
                    {
                        ofLearned[codes.Current.Latent] += (double)codes.Current.Value * codes.Current.Value;
                        if (codes.Current.Token == token)
                        {
                            here.Add(codes.Current);
                        }
                    }
                }

                foreach (TokenEntry other in here)
                {
                    sums[(code.Latent * learned.Latents) + other.Latent] += (double)code.Value * other.Value;
                    contained[(code.Latent * learned.Latents) + other.Latent] += (double)other.Value * other.Value;
                }
            }

            for (; more; more = codes.MoveNext())
            {
                ofLearned[codes.Current.Latent] += (double)codes.Current.Value * codes.Current.Value;
            }
        }

        for (int i = 0; i < sums.Length; i++)
        {
            double product = Math.Sqrt(ofTruth[i / learned.Latents] * ofLearned[i % learned.Latents]);
            sums[i] = product > 0 ? sums[i] / product : 0;
            contained[i] = ofLearned[i % learned.Latents] is > 0 and double all ? contained[i] / all : 0;
        }

        return (sums, contained);
    }
}
