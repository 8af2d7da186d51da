namespace Diffract.Reports;

/// <summary>Section 2: the distribution of the relative decoder norm Delta-norm (1 = chat-only, 0 = base-only).</summary>
/// <param name="Bins">Latents in each of 100 equal bins over [0, 1]; a value on an edge belongs to the bin above, 1 to the last.</param>
/// <param name="Survivors">Those of them that are chat-specific by Latent Scaling.</param>
/// <param name="TopBins">Latents in each of 20 equal bins over [0.9, 1].</param>
/// <param name="TopSurvivors">The survivors among those.</param>
/// <param name="All">Classes of all latents.</param>
/// <param name="Alive">Classes of latents that are not dead.</param>
public sealed record ReportNorms(
    IReadOnlyList<int> Bins, IReadOnlyList<int> Survivors, IReadOnlyList<int> TopBins, IReadOnlyList<int> TopSurvivors, ClassCounts All, ClassCounts Alive)
{
    public const int BinCount = 100;

    public const int TopBinCount = 20;

    /// <summary>Counts <paramref name="latents"/>.</summary>
    public static ReportNorms From(IReadOnlyList<ReportLatent> latents)
    {
        int[] bins = new int[BinCount], survivors = new int[BinCount], top = new int[TopBinCount], topSurvivors = new int[TopBinCount];
        foreach (ReportLatent latent in latents)
        {
            double x = latent.DeltaNorm;
            if (double.IsNaN(x))
            {
                continue;
            }

            // The widths are not exact in binary: 1e-9 keeps 0.9 in the bin that begins at 0.9.
            int bin = Math.Clamp((int)Math.Floor((x * BinCount) + 1e-9), 0, BinCount - 1);
            bins[bin]++;
            survivors[bin] += latent.Survives ? 1 : 0;
            if (x >= 0.9)
            {
                int inTop = Math.Clamp((int)Math.Floor(((x - 0.9) * 10 * TopBinCount) + 1e-9), 0, TopBinCount - 1);
                top[inTop]++;
                topSurvivors[inTop] += latent.Survives ? 1 : 0;
            }
        }

        return new ReportNorms(bins, survivors, top, topSurvivors, ClassCounts.From(latents), ClassCounts.From([.. latents.Where(l => !l.Dead)]));
    }
}

/// <summary>How many latents fall into each class of the relative decoder norm.</summary>
/// <param name="ChatOnly">Above 0.9.</param>
/// <param name="BaseOnly">Below 0.1.</param>
/// <param name="Shared">Between 0.4 and 0.6.</param>
/// <param name="Other">The rest, and latents whose decoder is zero.</param>
public sealed record ClassCounts(int ChatOnly, int BaseOnly, int Shared, int Other)
{
    public int Total => ChatOnly + BaseOnly + Shared + Other;

    public static ClassCounts From(IReadOnlyList<ReportLatent> latents)
        => new(latents.Count(l => l.Class == "chat-only"), latents.Count(l => l.Class == "base-only"), latents.Count(l => l.Class == "shared"), latents.Count(l => l.Class == "other"));
}
