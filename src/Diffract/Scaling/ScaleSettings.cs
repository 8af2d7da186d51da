namespace Diffract.Scaling;

/// <summary>What decides a scale stage.</summary>
public sealed record ScaleSettings
{
    /// <summary>Folder name of the crosscoder.</summary>
    public required string Name { get; init; }

    /// <summary>Blocks of documents for the jackknife.</summary>
    public int Blocks { get; init; } = 32;

    /// <summary>Go on with a BatchTopK crosscoder that has no threshold: its code is dense.</summary>
    public bool AllowUnsetThreshold { get; init; }

    /// <summary>Of a decoupled code, whose part is scaled: <c>base</c> or <c>chat</c>; null: chat, and nothing for other codes.</summary>
    public string? Code { get; init; }
}
