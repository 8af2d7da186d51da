using Diffract.Crosscoders;

namespace Diffract.Latents;

/// <summary>A dictionary and the paired activations that it is to read, as loose files name them.</summary>
public sealed record LooseReading
{
    /// <summary>Folder of a crosscoder or SAE in any published layout.</summary>
    public required string Folder { get; init; }

    /// <summary>safetensors with <c>x</c> [N, 2, D] of base and chat model, or <c>x.0</c>, <c>x.1</c>.</summary>
    public required string Activations { get; init; }

    /// <summary>What was said of the scale of the activations that the dictionary was trained on.</summary>
    public InputScale InputScale { get; init; } = InputScale.Unsaid;

    /// <summary>Take a BatchTopK dictionary without a threshold: its code is dense.</summary>
    public bool AllowUnsetThreshold { get; init; }

    /// <summary>--code: <c>base</c> or <c>chat</c>: of a decoupled code the part that is taken, of an SAE the model that it reads.</summary>
    public string? Code { get; init; }

    /// <summary>--difference: <c>chat-base</c> or <c>base-chat</c>: what an SAE on differences reads.</summary>
    public string? Difference { get; init; }

    /// <summary>Names of the two models, as options and published files have them.</summary>
    public static IReadOnlyList<string> Models { get; } = ["base", "chat"];
}
