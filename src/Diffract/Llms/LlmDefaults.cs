using Diffract.Compute.Kernels;

namespace Diffract.Llms;

/// <summary>What the family's configuration class takes for keys that config.json leaves out; names as in <see cref="LlmConfig"/>.</summary>
public sealed record LlmDefaults
{
    public required int Vocabulary { get; init; }

    public required int Width { get; init; }

    /// <summary>0: 4D.</summary>
    public required int MlpWidth { get; init; }

    public required int Layers { get; init; }

    public required int Heads { get; init; }

    /// <summary>0: as many as query heads.</summary>
    public int KeyValueHeads { get; init; }

    /// <summary>0: D over the number of heads.</summary>
    public int HeadWidth { get; init; }

    public required int ContextLimit { get; init; }

    public required float NormEpsilon { get; init; }

    public double RopeTheta { get; init; } = 10_000;

    public double LocalRopeTheta { get; init; } = 10_000;

    public double PartialRotary { get; init; } = 1;

    /// <summary>The context before a rotary scaling stretched it, in tokens, where the family has one beside the scaling; else 0.</summary>
    public int OldContext { get; init; }

    public required Activation Activation { get; init; }

    public bool TiesEmbeddings { get; init; }

    public bool AttentionBias { get; init; }

    public bool ParallelResidual { get; init; }

    public double QueryScalar { get; init; }

    /// <summary>In tokens; 0: none.</summary>
    public int SlidingWindow { get; init; }

    /// <summary>Of <see cref="WindowRule.Pattern"/>: every so-manieth block attends in full.</summary>
    public int SlidingPattern { get; init; }

    /// <summary>Of <see cref="WindowRule.Upper"/>: the first block with a window.</summary>
    public int MaxWindowLayers { get; init; }

    public float AttentionSoftCap { get; init; }

    public float FinalSoftCap { get; init; }

    public int? BosId { get; init; }

    public IReadOnlyList<int> EndIds { get; init; } = [];
}
