using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>What the tokenize stage is asked for.</summary>
public sealed record TokenizeSettings
{
    /// <summary>Checkpoint folder of the base model.</summary>
    public required string BaseModel { get; init; }

    /// <summary>Checkpoint folder of the chat model, whose tokenizer and template are used.</summary>
    public required string ChatModel { get; init; }

    /// <summary>Files of documents, in any format that <see cref="TextRows"/> reads.</summary>
    public IReadOnlyList<string> Texts { get; init; } = [];

    /// <summary>Files of chats.</summary>
    public IReadOnlyList<string> Chats { get; init; } = [];

    /// <summary>Which columns hold them.</summary>
    public TextColumns Columns { get; init; } = new();

    /// <summary>Share of the documents, and of the chats, that may be passed over because they cannot be used.</summary>
    public double MostSkipped { get; init; } = 0.01;

    /// <summary>How chats are written.</summary>
    public ChatFormat ChatFormat { get; init; } = ChatFormat.Own;

    /// <summary>At most so many tokens of all splits; null: all that the files give.</summary>
    public long? MaxTokens { get; init; }

    /// <summary>Documents are cut after so many tokens; null: min(1024, what the models can read).</summary>
    public int? Context { get; init; }

    /// <summary>The longest text that both models can take, in tokens, by whoever knows their families; null: what both config.json say, and where one says nothing <see cref="Context"/> has to be given.</summary>
    public int? ContextLimit { get; init; }

    /// <summary>So many positions at the beginning of each document are not stored, and no edit touches them; null: by family (<see cref="PairFamily"/>).</summary>
    public int? SkipFirst { get; init; }

    /// <summary>What the base model reads in place of other ids; null: by family (<see cref="PairFamily"/>).</summary>
    public ReplacementMap? Replace { get; init; }

    /// <summary>Decides the splits.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>Share of the documents that train the crosscoder.</summary>
    public double TrainShare { get; init; } = 0.5;

    /// <summary>Share of the documents that Latent Scaling reads.</summary>
    public double ScalingShare { get; init; } = 0.15;

    /// <summary>Share of the documents that are held out.</summary>
    public double HeldOutShare { get; init; } = 0.35;

    /// <summary>Every split must get at least so many tokens.</summary>
    public int LeastSplitTokens { get; init; } = 4096;
}
