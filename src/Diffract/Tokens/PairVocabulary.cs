namespace Diffract.Tokens;

/// <summary>Which ids the models of a pair can read: their embeddings may have different numbers of rows.</summary>
/// <param name="Base">Rows of the base model's embedding.</param>
/// <param name="Chat">Rows of the chat model's embedding.</param>
/// <param name="Replace">What the base model reads in place of others.</param>
/// <param name="Name">A token's text.</param>
public sealed record PairVocabulary(int Base, int Chat, ReplacementMap Replace, Func<int, string> Name)
{
    /// <summary>Ids that both models can predict: comparisons of their predictions are over these.</summary>
    public int Shared => Math.Min(Base, Chat);

    /// <summary>Why the models cannot read these ids of the chat model's tokenizer, the token named; null when they can.</summary>
    public string? Fault(int[] ids)
    {
        foreach (int id in ids)
        {
            if ((uint)id >= (uint)Chat)
            {
                return $"{Token(id)}, which the chat model's embedding of {Chat} ids lacks; wanted a tokenizer that belongs to the model";
            }

            if (!Replace.Ids.ContainsKey(id) && id >= Base)
            {
                return $"{Token(id)}, which the base model's embedding of {Base} ids lacks; give the base model another one to read: --replace {id}=ID";
            }
        }

        return null;
    }

    /// <summary>The same for ids of the base model's own tokenizer.</summary>
    public string? BaseFault(int[] ids)
        => Array.Find(ids, id => (uint)id >= (uint)Base) is var id && id != 0
            ? $"the token {id}, which the base model's embedding of {Base} ids lacks; wanted a tokenizer that belongs to the model"
            : null;

    /// <summary>Why the replacements cannot be used; null when they can.</summary>
    public string? ReplacementFault()
    {
        foreach ((int from, int to) in Replace.Ids)
        {
            if (from >= Chat || to >= Base)
            {
                return from >= Chat ? $"--replace {from}={to}: the chat model has ids 0 to {Chat - 1}, so {from} never comes" : $"--replace {from}={to}: the base model has ids 0 to {Base - 1}";
            }
        }

        return null;
    }

    string Token(int id) => Name(id) is { Length: > 0 } name ? $"the token {id} \"{name}\"" : $"the token {id}";
}
