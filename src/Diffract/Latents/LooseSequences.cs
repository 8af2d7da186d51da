using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>The sparse scaled activations of loose files, a sequence at a time.</summary>
public static class LooseSequences
{
    /// <summary>Every active pair by row, then latent: (row, latent, scaled activation).</summary>
    public static void ForEachPair(LooseCodes codes, string what, IProgressSink progress, Action<int, int, float> each, CancellationToken stop)
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

    /// <summary>Every line with what is active in it, in order.</summary>
    public static void ForEach(
        LooseCodes codes, IReadOnlyList<TokenLines> lines, string what, IProgressSink progress, Action<TokenLines, IReadOnlyList<TokenEntry>> each, CancellationToken stop)
    {
        List<TokenEntry> entries = [];
        int line = 0, first = 0;
        ForEachPair(codes, what, progress, (row, latent, value) =>
        {
            Finish(row);
            entries.Add(new TokenEntry(row - first, latent, value));
        }, stop);
        Finish(codes.Rows);

        // Hands out every line that ends at or before a row.
        void Finish(int row)
        {
            while (line < lines.Count && first + lines[line].Ids.Length <= row)
            {
                each(lines[line], entries);
                entries.Clear();
                first += lines[line++].Ids.Length;
            }
        }
    }
}
