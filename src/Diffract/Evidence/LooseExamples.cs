using System.Globalization;
using Diffract.Compute.Kernels;
using Diffract.Latents;
using Diffract.Llms;
using Diffract.Runs;

namespace Diffract.Evidence;

/// <summary>The example store of loose files: a dictionary, paired activations and the token ids that they belong to.</summary>
public static class LooseExamples
{
    /// <param name="backend">Where kernels run.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="dictionary">What is looked at.</param>
    /// <param name="idsFile">JSON lines with <c>ids</c>: a sequence a line, whose tokens are the rows of the activations in order.</param>
    /// <param name="most">Examples by quantile and latent.</param>
    /// <param name="seed">Of the reservoir.</param>
    /// <param name="output">Database to write.</param>
    /// <param name="stop">Ctrl-C.</param>
    /// <exception cref="DiffractException">Ids and activations of another number of tokens.</exception>
    public static void Run(
        IBackend backend, IProgressSink progress, LooseReading dictionary, string idsFile, int most, int seed, string output, CancellationToken stop)
    {
        if (most < 1)
        {
            throw DiffractException.Argument($"--examples {most} is too small; wanted at least 1 by quantile and latent");
        }

        IReadOnlyList<int[]> lines = IdLines.Read(idsFile, int.MaxValue);
        using LooseCodes codes = LooseCodes.Open(backend, progress, dictionary, "examples", codeNeeded: false, stop);
        long tokens = lines.Sum(l => (long)l.Length);
        if (tokens != codes.Rows)
        {
            throw new DiffractException(string.Create(
                CultureInfo.InvariantCulture, $"{idsFile} holds {tokens} ids, {dictionary.Activations} {codes.Rows} tokens; wanted a row of activations for each id: the two do not belong together"));
        }

        float[] max_L = new float[codes.Crosscoder.Latents];
        ForEach(codes, "maxima", progress, (_, latent, value) => max_L[latent] = Math.Max(max_L[latent], value), stop);
        QuantileExamples examples = new(most, max_L, (ulong)seed);
        List<TokenEntry> entries = [];
        int line = 0, first = 0;
        ForEach(codes, "examples", progress, (row, latent, value) =>
        {
            Finish(row);
            entries.Add(new TokenEntry(row - first, latent, value));
        }, stop);
        Finish(codes.Rows);
        long written = ExampleDatabase.Write(output, examples, codes.Crosscoder.Latents);
        int silent = max_L.Count(m => m == 0);
        progress.Done("examples", $"{written} examples of {codes.Crosscoder.Latents - silent} latents ({silent} never active) in {examples.Sequences.Count} sequences, {examples.Repeated} repeated ones passed over; {output}");

        // Adds every sequence that ends at or before a row.
        void Finish(int row)
        {
            while (line < lines.Count && first + lines[line].Length <= row)
            {
                examples.Add(lines[line], entries);
                entries.Clear();
                first += lines[line++].Length;
            }
        }
    }

    /// <summary>Every active pair by row, then latent: (row, latent, scaled activation).</summary>
    static void ForEach(LooseCodes codes, string what, IProgressSink progress, Action<int, int, float> each, CancellationToken stop)
        => codes.ForEach(0, codes.Rows, whole: false, (row, acts_BE, code) =>
        {
            for (int b = 0; b < code.Tokens; b++)
            {
                for (int i = code.TokenStart.Span<int>()[b]; i < code.TokenStart.Span<int>()[b + 1]; i++)
                {
                    int latent = code.TokenLatent.Span<int>()[i];
                    each(row + b, latent, codes.Input.Scaled(code, latent, code.TokenPairs.Span<int>()[i]));
                }
            }

            progress.Report(what, row + acts_BE.Rows, codes.Rows, "rows");
        }, stop);
}
