using System.Text.Json.Nodes;
using Diffract.Runs;

namespace Diffract.Evidence;

/// <summary>Settings of the evidence stage.</summary>
public sealed record EvidenceSettings
{
    /// <summary>Which crosscoder of the run.</summary>
    public required string Name { get; init; }

    /// <summary>Held-out chats on which the edits are measured; fewer where the run has fewer.</summary>
    public int Conversations { get; init; } = 300;

    /// <summary>Decides which chats, halves, shuffles, controls and resamples.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>Bootstrap resamples behind every interval.</summary>
    public int Resamples { get; init; } = 1000;

    /// <summary>Shuffles of the labels.</summary>
    public int Shuffles { get; init; } = 200;

    /// <summary>The most chat-specific latents that get examples whatever their class.</summary>
    public int ShownLatents { get; init; } = 20;

    /// <summary>Chat-only latents beyond those get examples up to this many latents in all.</summary>
    public int MostLatents { get; init; } = 100;

    /// <summary>Strongest documents of each latent.</summary>
    public int TopExamples { get; init; } = 8;

    /// <summary>Documents of each bin of maxima.</summary>
    public int QuantileExamples { get; init; } = 3;

    /// <summary>Tokens of an example's window.</summary>
    public int Window { get; init; } = 40;

    /// <summary>Run a BatchTopK crosscoder that has no threshold, densely.</summary>
    public bool AllowUnsetThreshold { get; init; }

    /// <summary>Chats whose interventions are published together: what a stopped stage measures again at most, and what a task makes at a time. Never changes the result.</summary>
    public int UnitConversations { get; init; } = 8;

    /// <summary>Which units this process makes; null: all. Never changes the result.</summary>
    public TaskShare? Share { get; init; }

    /// <summary>All that decides the result, for the manifest.</summary>
    public JsonObject Describe(LayerPair layer) => new()
    {
        ["name"] = Name,
        ["layer"] = layer,
        ["conversations"] = Conversations,
        ["seed"] = Seed,
        ["resamples"] = Resamples,
        ["shuffles"] = Shuffles,
        ["shownLatents"] = ShownLatents,
        ["mostLatents"] = MostLatents,
        ["topExamples"] = TopExamples,
        ["quantileExamples"] = QuantileExamples,
        ["window"] = Window,
    };
}
