namespace Diffract.Formats.Hub;

/// <summary>What is looked for in a repository.</summary>
public enum HubContents
{
    /// <summary>A language model: configuration, safetensors, tokenizer, chat template.</summary>
    Checkpoint,

    /// <summary>Tokenizer and chat template alone.</summary>
    Tokenizer,

    /// <summary>A crosscoder or sparse autoencoder: configuration and weights in one folder.</summary>
    Dictionary,
}
