using Diffract.Text;

namespace Diffract.Evidence;

/// <summary>What decides the answers that a chat model writes.</summary>
public sealed record GenerationSettings
{
    /// <summary>Checkpoint folder with tokenizer and template.</summary>
    public required string Model { get; init; }

    /// <summary>Chats in a file of any format.</summary>
    public required string Chats { get; init; }

    /// <summary>Which of its columns hold them.</summary>
    public TextColumns Columns { get; init; } = new();

    /// <summary>JSON lines to write.</summary>
    public required string Out { get; init; }

    /// <summary>How chats are written; null: by the model's template.</summary>
    public ChatFormat? ChatFormat { get; init; }

    /// <summary>Most tokens of an answer.</summary>
    public int MaxNewTokens { get; init; } = 256;

    /// <summary>A chat stops where prompt and answer would be longer; null: 1024, or what the model can read if that is less.</summary>
    public int? Context { get; init; }

    /// <summary>Chats side by side.</summary>
    public int Batch { get; init; } = 8;

    /// <summary>User turns that are answered, from the first; null: all.</summary>
    public int? Turns { get; init; }

    /// <summary>Begin again where a stopped call left something.</summary>
    public bool Fresh { get; init; }
}
