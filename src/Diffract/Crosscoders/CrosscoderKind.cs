namespace Diffract.Crosscoders;

/// <summary>What decides which latents fire.</summary>
public enum CrosscoderKind
{
    /// <summary>ReLU with an L1 penalty weighted by decoder norms.</summary>
    L1,

    /// <summary>The k·B largest scaled pre-activations of a batch in training, a threshold afterwards.</summary>
    BatchTopK,

    /// <summary>What lies above a threshold of the latent's own, which is trained; a penalty that bends over.</summary>
    JumpReLU,
}
