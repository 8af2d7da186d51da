using Diffract.Evidence;

namespace Diffract.Reports;

/// <summary>One of the most chat-specific latents with what it fires on.</summary>
/// <param name="Rank">1 is the most chat-specific.</param>
/// <param name="Latent">Its numbers.</param>
/// <param name="Top">The strongest examples, strongest first.</param>
/// <param name="Lower">Examples from the lower bins of its maximum, strongest bin first.</param>
public sealed record ReportCard(int Rank, ReportLatent Latent, IReadOnlyList<TokenExample> Top, IReadOnlyList<ReportExamples> Lower)
{
    /// <summary>Cards a crosscoder.</summary>
    public const int Most = 20;

    /// <summary>Strongest examples a card.</summary>
    public const int TopExamples = 6;

    /// <summary>Tokens kept of an example, around its peak.</summary>
    public const int Window = 72;
}

/// <summary>Examples of one bin of document maxima, relative to the latent's own maximum.</summary>
/// <param name="Range">The bin in words.</param>
/// <param name="Examples">A sample.</param>
public sealed record ReportExamples(string Range, IReadOnlyList<TokenExample> Examples);
