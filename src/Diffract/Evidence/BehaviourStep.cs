using System.Globalization;
using Diffract.Latents;
using Diffract.Scaling;
using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>Gathers what label tracking needs from the run: labelled held-out chats, candidates, and their maxima over the answers.</summary>
public static class BehaviourStep
{
    /// <summary>Latents tracked when nothing survived.</summary>
    const int FallbackCandidates = 20;

    /// <summary>Null when no held-out chat has both a label and an answer.</summary>
    public static BehaviourResults? Run(
        TokenStore tokens, LatentActivations activations, IReadOnlyList<LatentRow> latents, IReadOnlyList<ScalingRow> scaling, EvidenceSettings settings, CancellationToken stop)
    {
        int[] places = [.. Enumerable.Range(0, activations.DocumentNumbers.Count).Where(i => Usable(tokens, tokens.Documents[activations.DocumentNumbers[i]]))];
        if (places.Length == 0)
        {
            return null;
        }

        LabelledChat[] chats = [.. places.Select(i => Labelled(tokens.Documents[activations.DocumentNumbers[i]]))];
        (int[] candidates, bool survivors) = Candidates(latents, scaling);
        float[] maxima_D = new float[activations.DocumentNumbers.Count];
        float[][] maxima_CN = [.. candidates.Select(c =>
        {
            stop.ThrowIfCancellationRequested();
            activations.Maxima(c, TokenRole.Assistant, maxima_D);
            return places.Select(i => maxima_D[i]).ToArray();
        })];
        BehaviourTracking tracking = new(chats, candidates, maxima_CN, (ulong)settings.Seed, settings.Shuffles, settings.Resamples);
        BehaviourRow[] rows = [.. tracking.Rows(stop).Select(r => r.Latent is { } l ? r with { Survivor = survivors, DeltaNorm = latents[l].DeltaNorm } : r)];
        Dictionary<int, IReadOnlyList<string>> labels = rows.Where(BehaviourTracking.Tracks).GroupBy(r => r.Latent!.Value)
            .ToDictionary(g => g.Key, g => (IReadOnlyList<string>)[.. g.Select(r => r.Group).Distinct(StringComparer.Ordinal)]);
        return new BehaviourResults(chats.Length, rows, labels, candidates, survivors, Notes(candidates.Length, survivors, scaling.All(s => s.CountActive == 0)));
    }

    /// <summary>The latents that survive Latent Scaling; when none does, the living ones with the highest Delta-norm.</summary>
    public static (int[] Candidates, bool Survivors) Candidates(IReadOnlyList<LatentRow> latents, IReadOnlyList<ScalingRow> scaling)
    {
        int[] survivors = [.. scaling.Where(s => s.Verdict == Verdict.ChatSpecific).Select(s => s.Latent)];
        return survivors.Length > 0
            ? (survivors, true)
            : ([.. ByDeltaNorm(latents).Take(FallbackCandidates).Select(l => l.Latent)], false);
    }

    /// <summary>Living latents, most chat-specific by norm first.</summary>
    public static IEnumerable<LatentRow> ByDeltaNorm(IReadOnlyList<LatentRow> latents)
        => latents.Where(l => !l.Dead && !double.IsNaN(l.DeltaNorm)).OrderByDescending(l => l.DeltaNorm).ThenBy(l => l.Latent);

    static bool Usable(TokenStore tokens, TokenDocument document)
        => document.Source == TextSource.Chat && document.Split == Split.HeldOut && document.Labels.Count > 0 && HasAnswer(tokens, document);

    static bool HasAnswer(TokenStore tokens, TokenDocument document)
    {
        ReadOnlySpan<byte> roles = tokens.Roles(document);
        foreach (int position in tokens.Positions(document))
        {
            if ((roles[position] & (byte)TokenRole.Assistant) != 0)
            {
                return true;
            }
        }

        return false;
    }

    static LabelledChat Labelled(TokenDocument document) => new(document.Number, [.. document.Labels.Select(l => l.Split('/')[0]).Distinct(StringComparer.Ordinal)]);

    static string[] Notes(int candidates, bool survivors, bool unjudged) => survivors
        ? []
        : unjudged ? [string.Create(CultureInfo.InvariantCulture, $"Latent Scaling judged no latent; the {candidates} latents with the highest Delta-norm were tracked")]
        : [string.Create(CultureInfo.InvariantCulture, $"no latent survived Latent Scaling; the {candidates} latents with the highest Delta-norm were tracked instead, which are not chat-specific by it")];
}
