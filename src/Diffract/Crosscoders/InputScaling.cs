using System.Globalization;
using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>
/// Gives a dictionary that was trained on scaled activations its factors: x_m is multiplied by s_m before the encoder, a reconstruction divided by it. Estimated, s_m = √D_m / mean norm of
/// the activations at hand, the factor that brings their mean norm to √D_m. What it explains with and without is measured and said. When nothing was said of a folder of the layout blocks, both
/// are measured; the factors are used where its configuration is that of the training code that scales, and they explain more.
/// </summary>
/// <param name="Factors">By model; null where activations are taken as they are.</param>
/// <param name="Estimated">Whether they come from the activations.</param>
/// <param name="With">Variance explained with the factors; NaN where none were tried.</param>
/// <param name="Without">Variance explained without.</param>
public sealed record InputScaling(double[]? Factors, bool Estimated, double With, double Without)
{
    const int BatchRows = 512;

    /// <summary>Most tokens that norms are estimated on.</summary>
    const long EstimateTokens = 1 << 20;

    /// <summary>Most tokens that both fits are compared on.</summary>
    const long CompareTokens = 8192;

    /// <summary>Decides, measures, says it, and sets the crosscoder's factors.</summary>
    /// <param name="crosscoder">As it was loaded.</param>
    /// <param name="folder">Where from: its layout decides when nothing is said.</param>
    /// <param name="asked">What was said.</param>
    /// <param name="estimate">Activations for norms.</param>
    /// <param name="compare">Activations for both fits.</param>
    /// <param name="verb">Begins the line.</param>
    /// <param name="progress">Told the outcome.</param>
    /// <param name="stop">Set by Ctrl-C.</param>
    /// <exception cref="DiffractException">A dictionary that normalises by itself, another number of factors than models, or activations that are all 0.</exception>
    public static InputScaling Apply(
        Crosscoder crosscoder, string folder, InputScale asked, IBatchSource estimate, IBatchSource compare, string verb, IProgressSink progress, CancellationToken stop)
    {
        Check(crosscoder, folder, asked);
        bool tried = asked.Text is null;
        if (!Needed(crosscoder, folder, asked))
        {
            return new InputScaling(null, false, double.NaN, double.NaN);
        }

        double[] factors = asked.Factors is not { } given ? Estimate(estimate, stop)
            : given.Length == crosscoder.Models ? given
            : [.. Enumerable.Repeat(given[0], crosscoder.Models)];
        double without = Explained(crosscoder, compare, stop);
        crosscoder.ScaleInputs(factors);
        double with = Explained(crosscoder, compare, stop);
        InputScaling outcome = new(factors, asked.Factors is null, with, without);
        bool better = with > without;
        if (tried && !(better && TrainedOnScaled(folder)))
        {
            crosscoder.ScaleInputs(null);
            outcome = outcome with { Factors = null };
        }

        progress.Line($"{verb}: {outcome.Describe(crosscoder.Config.Widths, factors, Math.Min(EstimateTokens, estimate.DistinctTokens))}");
        if (!better && !tried)
        {
            progress.Warn($"{folder} explains more without --input-scale {asked.Text}; is it the right one?");
        }

        return outcome;
    }

    /// <summary>Whether activations have to be looked at: numbers or auto were said, or nothing of a layout whose published dictionaries may need it.</summary>
    public static bool Needed(Crosscoder crosscoder, string folder, InputScale asked)
        => asked.Factors is not null || asked.Auto || (asked.Text is null && crosscoder.Normalisation is null && FolderFiles.Find(folder).Layout == FolderLayout.Blocks);

    /// <summary>Refuses what cannot be, before any activations are there.</summary>
    public static void Check(Crosscoder crosscoder, string folder, InputScale asked)
    {
        if (crosscoder.Normalisation is not null && (asked.Factors is not null || asked.Auto))
        {
            throw DiffractException.Argument($"--input-scale {asked.Text} does not go with {folder}, which normalises activations by the statistics that it holds; leave it out");
        }

        if (asked.Factors is { } factors && factors.Length != 1 && factors.Length != crosscoder.Models)
        {
            throw DiffractException.Argument($"--input-scale {asked.Text} has {factors.Length} factors, {folder} has {crosscoder.Models} models; wanted one, or one for each");
        }
    }

    string Describe(int[] widths, double[] factors, long tokens)
    {
        string numbers = string.Join(" and ", factors.Select(f => f.ToString("G5", CultureInfo.InvariantCulture)));
        string from = Estimated
            ? string.Create(CultureInfo.InvariantCulture, $"estimated on {tokens:N0} tokens, √{string.Join(" and √", widths.Distinct())} over the mean norm")
            : "as given";
        string fits = string.Create(CultureInfo.InvariantCulture, $"variance explained {With:F3} with and {Without:F3} without");
        return Factors is null
            ? $"activations are taken as they are; an input scale of {numbers} ({from}) would explain {(With > Without ? "more" : "less")}, {fits} (--input-scale auto takes it)"
            : $"input scale {numbers} ({from}); {fits}{(Estimated ? " (--input-scale none turns it off)" : "")}";
    }

    /// <summary>Whether the configuration is that of the training code of the published crosscoders of this layout, whose buffer scales activations and keeps the factors to itself.</summary>
    static bool TrainedOnScaled(string folder) => FolderFiles.Find(folder).ReadConfig().ContainsKey("buffer_mult");

    static double[] Estimate(IBatchSource source, CancellationToken stop)
    {
        int[] offsets = source.ModelOffsets;
        double[] norms_M = new double[offsets.Length - 1];
        long count = 0;
        ForEach(source, EstimateTokens, acts_BE =>
        {
            for (int b = 0; b < acts_BE.Rows; b++)
            {
                for (int m = 0; m < norms_M.Length; m++)
                {
                    double squares = 0;
                    foreach (float x in acts_BE.Row(b)[offsets[m]..offsets[m + 1]])
                    {
                        squares += (double)x * x;
                    }

                    norms_M[m] += Math.Sqrt(squares);
                }
            }

            count += acts_BE.Rows;
        }, stop);
        int zero = Array.FindIndex(norms_M, n => !(n > 0 && double.IsFinite(n)));
        return zero < 0
            ? [.. norms_M.Select((n, m) => Math.Sqrt(offsets[m + 1] - offsets[m]) * count / n)]
            : throw new DiffractException($"the activations of model {zero} have no norm to scale by (a mean of {norms_M[zero] / count}); give --input-scale as numbers, or none");
    }

    /// <summary>1 - Σ Var(x - x̂) / Σ Var(x) over all columns, in raw units.</summary>
    static double Explained(Crosscoder crosscoder, IBatchSource source, CancellationToken stop)
    {
        Matrix recon_BE = crosscoder.Backend.Matrix(BatchRows, crosscoder.E);
        using IBuffer owner = recon_BE.Buffer;
        using SparseCode code = crosscoder.NewCode(BatchRows);
        double[] sum_E = new double[crosscoder.E], square_E = new double[crosscoder.E], errorSum_E = new double[crosscoder.E], errorSquare_E = new double[crosscoder.E];
        long count = 0;
        ForEach(source, CompareTokens, acts_BE =>
        {
            Matrix part_BE = recon_BE.SliceRows(0, acts_BE.Rows);
            crosscoder.Encode(acts_BE, code);
            crosscoder.Decode(code, part_BE);
            for (int b = 0; b < acts_BE.Rows; b++)
            {
                ReadOnlySpan<float> x_E = acts_BE.Row(b), y_E = part_BE.Row(b);
                for (int e = 0; e < x_E.Length; e++)
                {
                    double error = (double)x_E[e] - y_E[e];
                    sum_E[e] += x_E[e];
                    square_E[e] += (double)x_E[e] * x_E[e];
                    errorSum_E[e] += error;
                    errorSquare_E[e] += error * error;
                }
            }

            count += acts_BE.Rows;
        }, stop);
        double Variance(double[] sums, double[] squares) => sums.Zip(squares, (s, q) => q - (s * s / count)).Sum();
        return 1 - (Variance(errorSum_E, errorSquare_E) / Variance(sum_E, square_E));
    }

    static void ForEach(IBatchSource source, long most, Action<Matrix> each, CancellationToken stop)
    {
        int batch = (int)Math.Min(BatchRows, source.DistinctTokens);
        Matrix acts_BE = Matrix.Host(Math.Max(1, batch), source.ModelOffsets[^1]);
        using IBuffer owner = acts_BE.Buffer;
        for (long i = 0; batch > 0 && i < Math.Min(most, source.DistinctTokens) / batch; i++)
        {
            stop.ThrowIfCancellationRequested();
            source.Fill(i, acts_BE);
            each(acts_BE);
        }
    }
}
