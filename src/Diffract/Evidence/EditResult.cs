namespace Diffract.Evidence;

/// <summary>What one edit of the activations does to the chat model's predictions, over one subset of positions.</summary>
/// <param name="Edit">none, all, error, template, base_model, or replace_/add_ with best_/worst_ and the order: replace_best_norm, add_worst_scaling, …, replace_control, add_control.</param>
/// <param name="Group">baseline, norm, scaling or control.</param>
/// <param name="Subset">all, k_first or post_k_first (spec 7.1).</param>
/// <param name="Kl">Mean KL(p_chat ‖ p_edited) in nats a position; interval by bootstrap over conversations; N counts positions.</param>
/// <param name="Nll">Mean -log p of the token that follows; NaN for base_model.</param>
/// <param name="GapShare">1 - KL(edit)/KL(none); null for none itself.</param>
/// <param name="DifferenceFromNone">KL(edit) - KL(none), paired by conversation.</param>
/// <param name="Latents">Size of the latent set; 0 where the edit has none.</param>
/// <param name="TooFew">Why there is no number, else null; then the estimates are NaN.</param>
public sealed record EditResult(
    string Edit, string Group, string Subset, Estimate Kl, Estimate Nll, Estimate? GapShare, Estimate? DifferenceFromNone, int Latents, string? TooFew);
