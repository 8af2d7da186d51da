namespace Diffract.Tokens;

/// <summary>What a run knows of its models.</summary>
public enum ModelsKnown : byte
{
    /// <summary>Neither: it began from stored activations and token ids alone.</summary>
    Nothing,

    /// <summary>The chat model's tokenizer, and its template where it has one.</summary>
    Tokenizer,

    /// <summary>Both checkpoints.</summary>
    Both,
}
