using Diffract.Runs;

namespace Diffract.Training;

/// <summary>What the training stage is asked for.</summary>
public sealed record TrainSettings
{
    /// <summary>0-based block whose activations are trained on; null: the only ones there are.</summary>
    public LayerPair? Layer { get; init; }

    /// <summary>Folder under <c>crosscoders/</c>; null: the kind, with -k32 or -s2 where another k or seed has that name.</summary>
    public string? Name { get; init; }

    /// <summary>"demo" or "paper".</summary>
    public string Preset { get; init; } = "demo";

    /// <summary>What was said beside the preset. Kind null is BatchTopK.</summary>
    public TrainOptions Options { get; init; } = new();
}
