namespace Diffract.Evidence;

/// <summary>What each edit did to one chat.</summary>
/// <param name="Chat">The chat.</param>
/// <param name="Positions">Token positions that were looked at, ascending.</param>
/// <param name="Kl">For each edit and position, KL(p_chat ‖ p_edited) in nats.</param>
/// <param name="Nll">For each edit and position, -log p_edited of the token that follows; NaN at the chat's last position, and where that token is none of the ids that both models have.</param>
public sealed record ChatEffects(EditChat Chat, int[] Positions, double[][] Kl, double[][] Nll);
