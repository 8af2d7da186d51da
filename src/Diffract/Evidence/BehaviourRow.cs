namespace Diffract.Evidence;

/// <summary>How well one latent tells the chats of one behaviour from the others.</summary>
/// <param name="Group">The labels' part before "/".</param>
/// <param name="Latent">The latent chosen on the selection half; null when there is none to choose.</param>
/// <param name="Auc">Area under the ROC curve of the latent's maximum over the answer, on the reported half; interval by bootstrap over chats; N counts chats.</param>
/// <param name="AucSelectionHalf">The same on the half on which the latent was chosen (optimistic).</param>
/// <param name="ShuffledAuc">Mean AUC on the reported half when labels are shuffled before the same choice.</param>
/// <param name="ShuffledHigh">95th percentile of the shuffled AUCs.</param>
/// <param name="PositivesSelection">Chats of the group in the selection half.</param>
/// <param name="PositivesReport">Chats of the group in the reported half.</param>
/// <param name="Negatives">Chats it is told from, in the reported half.</param>
/// <param name="TooFew">Why there is no number, else null.</param>
/// <param name="Against">What the negatives are: null for all other chats, "contrast" for the harmless look-alikes of refusal.</param>
/// <param name="Chats">Chats of both halves that this row looks at.</param>
/// <param name="Survivor">Whether the latent is chat-specific by Latent Scaling; false when it was only tracked because nothing survived.</param>
/// <param name="DeltaNorm">The latent's relative decoder norm.</param>
public sealed record BehaviourRow(
    string Group, int? Latent, Estimate? Auc, double? AucSelectionHalf, double? ShuffledAuc, double? ShuffledHigh,
    int PositivesSelection, int PositivesReport, int Negatives, string? TooFew, string? Against, int Chats, bool Survivor = false, double? DeltaNorm = null);
