namespace Diffract.Crosscoders;

/// <summary>What a crosscoder takes while it encodes: its float32 weights, and what stands by latent.</summary>
public static class CrosscoderMemory
{
    /// <summary>Numbers by latent beside the weights: bias, norms, scale, starts of pairs, counts.</summary>
    const int PerLatent = 48;

    /// <summary>Pairs of a token at first, twice over: as found and as kept.</summary>
    const int PairBytes = 128 * 64;

    /// <param name="latents">L.</param>
    /// <param name="e">E.</param>
    /// <param name="tokens">Tokens of a batch.</param>
    public static long Bytes(long latents, long e, long tokens) => sizeof(float) * (2 * latents * e + PerLatent * latents + 2 * e) + PairBytes * tokens;
}
