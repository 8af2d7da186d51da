using Diffract.Activations;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Pipeline;

/// <summary>What a whole run is asked for: the options of <c>diffract run</c>.</summary>
public sealed record PipelineSettings
{
    /// <summary>Checkpoint folder of the base model.</summary>
    public required string BaseModel { get; init; }

    /// <summary>Checkpoint folder of the chat model, whose tokenizer and template are used.</summary>
    public required string ChatModel { get; init; }

    /// <summary>Files of documents.</summary>
    public IReadOnlyList<string> Texts { get; init; } = [];

    /// <summary>Files of chats.</summary>
    public IReadOnlyList<string> Chats { get; init; } = [];

    /// <summary>Which columns of those files hold them.</summary>
    public TextColumns Columns { get; init; } = new();

    /// <summary>Share of the documents, and of the chats, that may be passed over because they cannot be used.</summary>
    public double MostSkipped { get; init; } = 0.01;

    /// <summary>So many positions at the beginning of each document are not stored, and no edit touches them; null: by family.</summary>
    public int? SkipFirst { get; init; }

    /// <summary>How chats are written.</summary>
    public ChatFormat ChatFormat { get; init; } = ChatFormat.Own;

    /// <summary>What the base model reads in place of other ids; null: by family.</summary>
    public ReplacementMap? Replace { get; init; }

    /// <summary>Folders of crosscoders to examine; when there is one, nothing is trained.</summary>
    public IReadOnlyList<string> Crosscoders { get; init; } = [];

    /// <summary>What was said of the scale of the activations that those crosscoders were trained on.</summary>
    public InputScale InputScale { get; init; } = InputScale.Unsaid;

    /// <summary>Hooked block, 0-based; null: half the blocks, rounded down.</summary>
    public LayerPair? Layer { get; init; }

    /// <summary>How activations are stored.</summary>
    public StorageKind Storage { get; init; } = StorageKind.BFloat16;

    /// <summary>Most tokens to harvest, of all splits.</summary>
    public long? MaxTokens { get; init; }

    /// <summary>Most hours to harvest; turned into tokens by a measured probe before the start.</summary>
    public double? Hours { get; init; }

    /// <summary>Make the activations of training tokens while training on them, and store only a part of the others.</summary>
    public bool Stream { get; init; }

    /// <summary>Of a streamed run, the rows of each split but training that are stored, of documents and chats each.</summary>
    public long KeepTokens { get; init; } = StreamedTraining.DefaultKeepTokens;

    /// <summary>Which kinds to train.</summary>
    public IReadOnlyList<CrosscoderKind> Kinds { get; init; } = [CrosscoderKind.BatchTopK];

    /// <summary>"demo" or "paper".</summary>
    public string Preset { get; init; } = "demo";

    /// <summary>Decides splits, initialisations, order and resamples.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>Go on with a loaded BatchTopK crosscoder whose threshold is unset (dense codes).</summary>
    public bool AllowUnsetThreshold { get; init; }
}
