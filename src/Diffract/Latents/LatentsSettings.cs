namespace Diffract.Latents;

/// <summary>What decides a latents stage.</summary>
public sealed record LatentsSettings
{
    /// <summary>Folder name of the crosscoder.</summary>
    public required string Name { get; init; }

    /// <summary>Go on with a BatchTopK crosscoder that has no threshold: every positive code is kept, which fills the disk.</summary>
    public bool AllowUnsetThreshold { get; init; }
}
