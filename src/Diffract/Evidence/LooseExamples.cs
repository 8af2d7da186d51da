using Diffract.Compute.Kernels;
using Diffract.Latents;
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

        IReadOnlyList<TokenLines> lines = TokenLines.Read(idsFile);
        using LooseCodes codes = LooseCodes.Open(backend, progress, dictionary, "examples", codeNeeded: false, stop);
        TokenLines.RequireRows(lines, idsFile, dictionary.Activations, codes.Rows);
        ScanSummary summary = ScanSummary.Of(codes, progress, stop);
        QuantileExamples examples = new(most, summary.Max_L, (ulong)seed);
        LooseSequences.ForEach(codes, lines, "examples", progress, (line, entries) => examples.Add(line.Ids, entries), stop);
        long written = ExampleDatabase.Write(output, examples, codes.Crosscoder.Latents);
        progress.Done("examples", $"{written} examples of {codes.Crosscoder.Latents - summary.Silent} latents ({summary.Silent} never active) in {examples.Sequences.Count} sequences, {examples.Repeated} repeated ones passed over; {output}");
    }
}
