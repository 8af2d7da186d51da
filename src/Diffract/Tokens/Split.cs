namespace Diffract.Tokens;

/// <summary>What a document is used for; decided once, by a seeded hash of its number.</summary>
public enum Split : byte
{
    /// <summary>Trains the crosscoder.</summary>
    Train,

    /// <summary>Latent Scaling: betas, ratios, errors.</summary>
    Scaling,

    /// <summary>Validation, examples, interventions.</summary>
    HeldOut,
}
