using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>What the loose form of <c>intervene</c> is given.</summary>
public sealed record InterveneSettings
{
    /// <summary>Checkpoint folder of model 0.</summary>
    public required string BaseModel { get; init; }

    /// <summary>Checkpoint folder of model 1; its tokenizer and template read the chats.</summary>
    public required string ChatModel { get; init; }

    /// <summary>Folder of a crosscoder in any published layout.</summary>
    public required string Crosscoder { get; init; }

    /// <summary>0-based block after which activations are edited.</summary>
    public required LayerPair Layer { get; init; }

    /// <summary>Rows of any format with turns, or with <c>ids</c> and <c>roles</c>.</summary>
    public required string Chats { get; init; }

    /// <summary>Which column holds the turns.</summary>
    public TextColumns Columns { get; init; } = new();

    /// <summary>How turns are written.</summary>
    public ChatFormat ChatFormat { get; init; } = ChatFormat.Own;

    /// <summary>For each latent set its name and a file with a JSON array of latent indices.</summary>
    public IReadOnlyList<(string Name, string File)> Latents { get; init; } = [];

    /// <summary>What was said of the scale of the activations that the crosscoder was trained on.</summary>
    public InputScale InputScale { get; init; } = InputScale.Unsaid;

    /// <summary>Chats are cut after so many tokens; null: the smaller of 1024 and what both models can read.</summary>
    public int? Context { get; init; }

    /// <summary>So many positions at the beginning of each chat keep the chat model's own activations; null: by family.</summary>
    public int? SkipFirst { get; init; }

    /// <summary>What the base model reads in place of other ids; null: by family.</summary>
    public ReplacementMap? Replace { get; init; }

    /// <summary>File for the numbers of every position; null: none is written, and only answers' positions are computed.</summary>
    public string? Positions { get; init; }

    /// <summary>File for the means.</summary>
    public required string Out { get; init; }

    /// <summary>Run a BatchTopK crosscoder without a threshold, densely.</summary>
    public bool AllowUnsetThreshold { get; init; }

    /// <summary>What it may take.</summary>
    public MemoryBudget Memory { get; init; } = MemoryBudget.Available();
}
