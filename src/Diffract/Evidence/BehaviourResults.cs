namespace Diffract.Evidence;

/// <summary><c>behaviours.json</c>: which labelled behaviours the chat-specific latents track.</summary>
/// <param name="HeldOutChats">Held-out chats with at least one label and an answer.</param>
/// <param name="Rows">One row for each group of labels, most chats first; refusal has a second one against contrast.</param>
/// <param name="LabelsByLatent">The groups that each latent tracks: the AUC's lower end above 0.5 and above the 95th percentile under shuffled labels.</param>
/// <param name="Candidates">The latents that could be chosen.</param>
/// <param name="CandidatesAreSurvivors">False: nothing survived Latent Scaling, so the latents with the highest Delta-norm were tracked instead, and say nothing about chat-specific latents.</param>
/// <param name="Notes">What a reader has to know.</param>
public sealed record BehaviourResults(
    int HeldOutChats, IReadOnlyList<BehaviourRow> Rows, IReadOnlyDictionary<int, IReadOnlyList<string>> LabelsByLatent,
    IReadOnlyList<int> Candidates, bool CandidatesAreSurvivors, IReadOnlyList<string> Notes)
{
    /// <summary>Standing above shuffled labels is a low bar with many chats; an AUC from here on tells a behaviour apart well.</summary>
    public const double ClearAuc = 0.8;

    /// <summary>The behaviours with a number, a row each. Refusal against contrast is a second look at refusal, not another behaviour.</summary>
    public IReadOnlyList<BehaviourRow> Measured() => [.. Rows.Where(r => r.Against is null && r.Auc is not null && r.TooFew is null)];

    /// <summary>Those of them that stand above shuffled labels, the clearest first.</summary>
    public IReadOnlyList<BehaviourRow> Tracked() => [.. Measured().Where(BehaviourTracking.Tracks).OrderByDescending(r => r.Auc!.Value)];

    /// <summary>How many of those reach <see cref="ClearAuc"/>.</summary>
    public int Clear() => Tracked().Count(r => r.Auc!.Value >= ClearAuc);
}
